"""What a client is told when something goes wrong."""

from __future__ import annotations

import errno
import json
import os

from cutaway.api.answers import error_answer


def told(error: Exception) -> dict[str, str]:
    answer = error_answer(error, "POST /build")
    assert answer.status == 500
    body: dict[str, str] = json.loads(answer.body)  # type: ignore[arg-type]
    return body


def test_a_full_disk_is_told_as_such() -> None:
    assert told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == {
        "message": "cannot write: no space left on device",
        "hint": "free some space below the engine's root folder",
    }


def test_what_nobody_expected_is_told_in_one_line() -> None:
    assert told(ValueError("one\ntwo"))["message"] == "the engine failed: ValueError: one"
