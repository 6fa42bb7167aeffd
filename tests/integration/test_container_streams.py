"""Input and output: logs, attached clients, terminals, execs."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from container_support import Client, Room, until
from test_container_lifecycle import SLEEP, in_room

from cutaway.container.execs import ExecBody
from cutaway.container.logs import Wanted
from cutaway.errors import CommandNotFoundError

pytestmark = pytest.mark.root


def test_a_client_that_came_before_the_start_sees_everything() -> None:
    async def test(made: Room) -> None:
        container = await made.create("sh", "-c", "echo out; echo err >&2")
        client = await made.attach(container)
        await made.containers.start(container)
        frames = await client.frames()
        assert sorted(frames) == [(1, b"out\n"), (2, b"err\n")]

    in_room(test)


def test_input_is_closed_when_the_client_has_said_all() -> None:
    async def test(made: Room) -> None:
        container = await made.create("cat", OpenStdin=True, StdinOnce=True, AttachStdin=True)
        client = await made.attach(container, stdin=True)
        await client.send(b"first ")
        await made.containers.start(container)
        await client.send(b"x" * 300_000 + b" last\n")
        client.end_input()
        output = await client.output(1)
        assert output == b"first " + b"x" * 300_000 + b" last\n"
        assert await made.containers.wait(container) == 0

    in_room(test)


def test_input_stays_open_for_the_next_client_without_stdin_once() -> None:
    async def test(made: Room) -> None:
        container = await made.start("cat", OpenStdin=True)
        first = await made.attach(container, stdin=True)
        await first.send(b"one\n")
        first.end_input()
        assert (await first.read_until(b"one\n"))[0] == 1
        second = await made.attach(container, stdin=True)
        await second.send(b"two\n")
        await second.read_until(b"two\n")
        first.close()
        second.close()
        assert (await made.looking.inspect(container))["State"]["Running"]

    in_room(test)


def test_a_client_that_goes_away_does_not_hurt_the_container() -> None:
    async def test(made: Room) -> None:
        script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo done"
        container = await made.create("sh", "-c", script)
        client = await made.attach(container)
        await made.containers.start(container)
        await client.receive()
        client.close()
        assert await made.containers.wait(container) == 0
        assert (await made.output(container)).endswith("line 1999\ndone\n")

    in_room(test)


def test_a_slow_client_makes_the_program_wait_and_loses_nothing() -> None:
    async def test(made: Room) -> None:
        size = 8 << 20
        container = await made.create("sh", "-c", f"head -c {size} /dev/zero; echo end >&2")
        client = await made.attach(container)
        await made.containers.start(container)
        log = made.settings.container(container) / "json.log"

        async def size_settles() -> int:
            last, still = -1, 0
            while still < 10:
                now = log.stat().st_size
                still, last = (still + 1, last) if now == last else (0, now)
                await asyncio.sleep(0.02)
            return last

        assert await size_settles() < size
        assert (await made.looking.inspect(container))["State"]["Running"]
        frames = await client.frames()
        assert sum(len(data) for number, data in frames if number == 1) == size
        assert b"".join(data for number, data in frames if number == 2) == b"end\n"

    in_room(test)


def test_attaching_with_logs_tells_the_past_once_and_goes_on() -> None:
    async def test(made: Room) -> None:
        script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; read go; echo after"
        container = await made.start("sh", "-c", script, OpenStdin=True)
        client = await made.attach(container, stdin=True, logs=True)
        await client.send(b"go\n")
        output = await client.output(1)
        assert output.decode().split() == [*map(str, range(3000)), "after"]

    in_room(test)


def test_many_lines_are_logged_fast_and_whole() -> None:
    async def test(made: Room) -> None:
        code, output = await made.run("seq", "1", "100000")
        assert code == 0
        assert output == "".join(f"{number}\n" for number in range(1, 100_001))

    in_room(test)


def test_the_log_has_dockers_form_and_long_lines_are_cut() -> None:
    async def test(made: Room) -> None:
        script = "head -c 40000 /dev/zero | tr '\\0' a; printf '\\nend\"\\t\\377'"
        container = await made.create("sh", "-c", script)
        await made.containers.start(container)
        await made.containers.wait(container)
        lines = (made.settings.container(container) / "json.log").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert [len(record["log"]) for record in records] == [16384, 16384, 40001 - 32768, 6]
        assert records[-1]["log"] == 'end"\t\ufffd'
        assert all(record["stream"] == "stdout" and record["time"].endswith("Z") for record in records)

    in_room(test)


def test_following_a_log_ends_with_the_container() -> None:
    async def test(made: Room) -> None:
        container = await made.start("sh", "-c", "echo one; read x; echo two", OpenStdin=True)
        found: list[bytes] = []

        async def follow() -> None:
            async for _, data in await made.talking.logs(container, Wanted(), follow=True):
                found.append(data)

        following = asyncio.create_task(follow())
        await until(lambda: found)
        client = await made.attach(container, stdin=True)
        await client.send(b"\n")
        await asyncio.wait_for(following, 30)
        client.close()
        assert b"".join(found) == b"one\ntwo\n"

    in_room(test)


def test_the_tail_and_a_span_of_time_are_found() -> None:
    async def test(made: Room) -> None:
        container = await made.create("seq", "1", "5000")
        await made.containers.start(container)
        await made.containers.wait(container)

        async def read(wanted: Wanted) -> str:
            return b"".join([data async for _, data in await made.talking.logs(container, wanted)]).decode()

        assert await read(Wanted(tail=3)) == "4998\n4999\n5000\n"
        assert await read(Wanted(tail=0)) == ""
        assert (await read(Wanted(tail=9999))).count("\n") == 5000
        assert await read(Wanted(since="2999-01-01T00:00:00Z")) == ""
        assert await read(Wanted(stdout=False)) == ""
        first = (await read(Wanted(timestamps=True))).splitlines()[0]
        assert first.endswith("Z 1")

    in_room(test)


def test_a_terminal_is_the_containers_own_and_can_be_resized() -> None:
    async def test(made: Room) -> None:
        host = {"ConsoleSize": [30, 100]}
        container = await made.create("sh", Tty=True, OpenStdin=True, host=host)
        client = await made.attach(container, stdin=True)
        await made.containers.start(container)
        await client.send(b"tty; stty size; ls -l /dev/console | cut -c1\n")
        seen = await client.read_until(b"\r\nc\r\n")
        assert b"/dev/pts/0\r\n30 100\r\n" in seen
        await made.talking.resize(container, 50, 120)
        await client.send(b"stty size\n")
        await client.read_until(b"50 120")
        await client.send(b"exit 4\n")
        await client.raw()
        assert await made.containers.wait(container) == 4

    in_room(test)


def test_detach_keys_let_go_of_the_client_only() -> None:
    async def test(made: Room) -> None:
        container = await made.create("cat", Tty=True, OpenStdin=True)
        client = await made.attach(container, stdin=True)
        await made.containers.start(container)
        await client.send(b"before\n")
        await client.read_until(b"before")
        await client.send(b"\x10")
        await client.send(b"\x11")
        await client.raw()
        assert (await made.looking.inspect(container))["State"]["Running"]
        await until(lambda: made.events.history()[-1].action == "detach")

    in_room(test)


def test_exec_runs_beside_the_first_process() -> None:
    async def test(made: Room) -> None:
        container = await made.start("sh", "-c", "cd /tmp; exec sleep 1000", Env=["A=1"], Hostname="here")
        code, output = await made.execute(
            container,
            "sh",
            "-c",
            "hostname; echo $A $B; pwd; cat /proc/1/comm; exit 6",
            env=["B=2"],
            working_dir="/etc",
        )
        assert (code, output) == (6, b"here\n1 2\n/etc\nsleep\n")
        code, output = await made.execute(container, "id", "-u", user="nobody")
        assert (code, output) == (0, b"65534\n")

    in_room(test)


def test_exec_loses_the_same_rights() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        script = "grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/self/cgroup | grep memory"
        _, output = await made.execute(container, "sh", "-c", script)
        assert output.split() == [b"CapEff:", b"00000000a80425fb", b"Seccomp:", b"2", *output.split()[4:]]
        assert output.strip().endswith(b"memory:/")

    in_room(test)


def test_exec_has_a_terminal_when_asked() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        code, output = await made.execute(
            container, "sh", "-c", "tty; stty size; exit 2", tty=True, console_size=[11, 22]
        )
        assert (code, output) == (2, b"/dev/pts/0\r\n11 22\r\n")

    in_room(test)


def test_exec_of_nothing_says_so_on_the_stream() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        execution = made.containers.execs.create(container, ExecBody(cmd=["nosuch"], attach_stderr=True))
        ours, theirs = socket.socketpair()
        client = Client(ours)
        with theirs, pytest.raises(CommandNotFoundError):
            await made.containers.execs.start(execution, theirs)
        said = await client.output(2)
        assert said == b'exec: "nosuch": executable file not found in $PATH\r\n'
        assert made.containers.execs.inspect(execution)["ExitCode"] == 127

    in_room(test)


def test_many_short_execs_all_end_and_are_collected() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        for _ in range(10):
            ends = await asyncio.gather(*(made.execute(container, "true") for _ in range(8)))
            assert ends == [(0, b"")] * 8
        assert [p["id"] for p in await made.containers.keeper.list()] == [container]

    in_room(test)


def test_exec_ends_with_its_container() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        running = asyncio.create_task(made.execute(container, *SLEEP))
        await until(lambda: any(e.action.startswith("exec_start") for e in made.events.history()))
        await made.containers.kill(container)
        assert (await asyncio.wait_for(running, 30))[0] == 137

    in_room(test)
