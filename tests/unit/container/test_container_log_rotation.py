"""Logs that are kept short: put aside by size, read back as one, followed across files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from cutaway.container import logs
from cutaway.container.logfile import LogFile
from cutaway.container.logoptions import LogOptions, log_options
from cutaway.container.spec import Config, HostConfig, LogConfig
from cutaway.errors import BadInputError

LINES = [f"line {number}\n" for number in range(200)]


def write(log: LogFile, lines: list[str]) -> None:
    log.write("stdout", "".join(lines).encode())


def read(path: Path, **wanted: Any) -> list[str]:
    async def collect() -> str:
        return b"".join([data async for _, data in logs.read(path, logs.Wanted(**wanted))]).decode()

    return asyncio.run(collect()).splitlines(keepends=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_no_file_grows_far_beyond_its_size_and_no_more_are_kept_than_asked(path: Path) -> None:
    log = LogFile(str(path), max_size=1000, max_files=3)
    write(log, LINES)
    log.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["log", "log.1", "log.2"]
    assert all(1000 <= path.with_name(name).stat().st_size < 1100 for name in ("log.1", "log.2"))
    kept = read(path)
    assert kept == LINES[-len(kept) :]


def test_one_file_only_begins_again(path: Path) -> None:
    log = LogFile(str(path), max_size=1000)
    write(log, LINES)
    log.close()
    assert [file.name for file in path.parent.iterdir()] == ["log"]
    assert read(path)[-1] == LINES[-1]
    assert path.stat().st_size < 1100


@pytest.mark.parametrize("tail", [0, 1, 20, 40, 200, 300])
def test_the_tail_goes_back_into_older_files(path: Path, tail: int) -> None:
    log = LogFile(str(path), max_size=1000, max_files=50)
    write(log, LINES)
    log.close()
    assert read(path, tail=tail) == LINES[len(LINES) - min(tail, len(LINES)) :]


def test_a_log_is_gone_on_with_after_a_restart(path: Path) -> None:
    for lines in (LINES[:5], LINES[5:50]):
        log = LogFile(str(path), max_size=1000, max_files=50)
        write(log, lines)
        log.close()
    assert read(path) == LINES[:50]
    assert path.with_name("log.1").stat().st_size < 1100


def test_what_was_written_after_the_mark_is_not_told(path: Path) -> None:
    async def up_to(mark: list[int]) -> bytes:
        return b"".join([data async for _, data in logs.read(path, logs.Wanted(), mark)])

    log = LogFile(str(path), max_size=1000, max_files=50)
    write(log, LINES[:50])
    mark = log.position()
    write(log, LINES[50:])
    assert asyncio.run(up_to(mark)).decode() == "".join(LINES[:50])


def test_a_follower_goes_on_in_the_next_file_and_loses_nothing(path: Path) -> None:
    log = LogFile(str(path), max_size=1000, max_files=100)
    write(log, LINES[:3])

    async def go_on(follower: AsyncGenerator[tuple[str, bytes], None], end: asyncio.Event) -> str:
        found = (await anext(follower))[1]
        for line in LINES[3:]:
            write(log, [line])
            if line.endswith("0\n"):
                found += (await anext(follower))[1]
        end.set()
        return (found + b"".join([data async for _, data in follower])).decode()

    async def test() -> str:
        end = asyncio.Event()
        follower = logs.follow(path, logs.Wanted(), running=lambda: not end.is_set(), ended=end.wait)
        return await asyncio.wait_for(go_on(follower, end), 60)

    assert asyncio.run(test()) == "".join(LINES)


def test_following_ends_at_until_though_the_container_goes_on(path: Path) -> None:
    log = LogFile(str(path))
    write(log, LINES[:3])

    async def test() -> bytes:
        wanted = logs.Wanted(until="2020-01-01T00:00:00Z")
        follower = logs.follow(path, wanted, running=lambda: True, ended=asyncio.Event().wait)
        return b"".join([data async for _, data in follower])

    assert asyncio.run(asyncio.wait_for(test(), 60)) == b""
    log.close()


def test_labels_and_variables_that_were_chosen_are_told_as_details(path: Path) -> None:
    log = LogFile(str(path), attrs={"role": "a b", "env": "x"})
    write(log, LINES[:1])
    assert json.loads(path.read_text())["attrs"] == {"role": "a b", "env": "x"}
    assert read(path, details=True) == ["env=x,role=a+b line 0\n"]
    assert read(path) == LINES[:1]
    log.close()


# Options


def options(driver: str = "", env: list[str] | None = None, **given: str) -> LogOptions | None:
    config = Config(env=env or [], labels={"role": "db", "tier": "1"})
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return log_options(config, HostConfig(log_config=LogConfig(type=driver, config=named)))


def test_options_are_dockers() -> None:
    assert options() == LogOptions(0, 1, {})
    assert options(max_size="10m", max_file="3") == LogOptions(10_000_000, 3, {})
    assert options("local") == LogOptions(20_000_000, 5, {})
    assert options("none") is None
    chosen = options(labels="role,other", env_regex="^A", env=["AB=1", "BC=2"])
    assert chosen is not None
    assert chosen.attrs == {"role": "db", "AB": "1"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_size": "ten"}, "invalid size: 'ten'"),
        ({"max_size": "0"}, "max-size must be a positive number"),
        ({"max_file": "0"}, "max-file cannot be less than 1"),
        ({"max_file": "x"}, "invalid max-file"),
        ({"colour": "red"}, "unknown log opt 'colour' for json-file log driver"),
        ({"driver": "local", "labels": "x"}, "unknown log opt 'labels' for local log driver"),
        ({"driver": "syslog"}, "no log driver named 'syslog' is registered"),
        ({"env_regex": "("}, "invalid env-regex"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        options(**given)
