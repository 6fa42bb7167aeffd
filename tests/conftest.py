"""What every test shares: tests that need root are skipped, with the reason, where there is none."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root: namespaces, mounts, cgroups")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)
