"""A real server with small routes: errors, clients that leave, connections that are taken over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.dispatch import Dispatcher
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.streams import Hijack
from cutaway.errors import ConflictError

routes = Routes()


@routes.get("/refused")
async def refused(call: Call) -> Answer:
    raise ConflictError("the name is in use", "choose another one")


@routes.get("/broken")
async def broken(call: Call) -> Answer:
    raise ValueError("two\nlines")


@routes.post("/work")
async def work(call: Call) -> Answer:
    state: Any = call.engine
    state.begun.set()
    await state.go_on.wait()
    state.done.set()
    return json_answer("done")


@routes.get("/stream", streaming=True)
async def stream(call: Call) -> Answer:
    state: Any = call.engine
    lines = JsonLines(call.request)
    await lines.send({"n": 1})
    try:
        await asyncio.Event().wait()
    finally:
        state.done.set()
    return lines.response


@routes.post("/half")
async def half(call: Call) -> Answer:
    lines = JsonLines(call.request)
    await lines.send({"n": 1})
    await lines.fail(ConflictError("too late", "start again"))
    return lines.response


@routes.post("/echo")
async def echo(call: Call) -> Answer:
    await call.request.read()
    with Hijack(call.request) as hijack:
        mine = hijack.socket.dup()
        hijack.upgrade(multiplexed=False)
    threading.Thread(target=_reverse, args=(mine,), daemon=True).start()
    return hijack.finish()


def _reverse(connection: socket.socket) -> None:
    """Read to the end, then answer: works only when each direction ends on its own."""
    connection.setblocking(True)
    with connection, connection.makefile("rwb") as file:
        file.write(file.read()[::-1])


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[SimpleNamespace, Path, Dispatcher]]:
    state = SimpleNamespace(begun=asyncio.Event(), go_on=asyncio.Event(), done=asyncio.Event())
    dispatcher = Dispatcher(state, routes)  # type: ignore[arg-type]
    server = web.Server(dispatcher, handler_cancellation=True, access_log=None)
    listener = await asyncio.get_running_loop().create_unix_server(server, folder / "s")
    try:
        yield state, folder / "s", dispatcher
    finally:
        listener.close()
        await dispatcher.close(1)
        await server.shutdown(1)


async def ask(path: Path, request: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request.replace("\n", "\r\n").encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def get(path: Path, url: str) -> tuple[int, Any]:
    answer = await ask(path, f"GET {url} HTTP/1.1\nHost: x\nConnection: close\n\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_our_errors_keep_their_status_and_hint(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            assert await get(path, "/v1.47/refused") == (
                409,
                {"message": "the name is in use", "hint": "choose another one"},
            )

    asyncio.run(scene())


def test_a_defect_is_told_in_one_line_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            status, body = await get(path, "/broken")
            assert (status, body["message"]) == (500, "the engine failed: ValueError: two")

    asyncio.run(scene())
    assert "GET /broken failed" in caplog.text
    assert "Traceback" in caplog.text


def test_an_unknown_path_is_page_not_found(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            assert await get(path, "/nothing") == (404, {"message": "page not found"})

    asyncio.run(scene())


def test_an_error_after_the_first_line_becomes_a_line(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            answer = await ask(path, "POST /half HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 0\n\n")
            assert b'"errorDetail":{"message":"too late","hint":"start again"},"error":"too late"' in answer

    asyncio.run(scene())


def test_a_change_is_finished_although_the_client_left(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (state, path, _):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            await state.begun.wait()
            writer.close()
            await writer.wait_closed()
            state.go_on.set()
            await asyncio.wait_for(state.done.wait(), 10)

    asyncio.run(scene())


def test_a_stream_ends_when_its_client_leaves(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (state, path, _):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b'{"n":1}' in await reader.readuntil(b"}")
            writer.close()
            await asyncio.wait_for(state.done.wait(), 10)

    asyncio.run(scene())


def test_streams_end_when_the_engine_stops(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (state, path, dispatcher):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"}")
            await dispatcher.close(5)
            assert state.done.is_set()
            await asyncio.wait_for(reader.read(), 10)
            writer.close()

    asyncio.run(scene())


def test_a_taken_over_connection_keeps_its_other_half(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(
                b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
            assert b"application/vnd.docker.raw-stream" in head
            writer.write(b"abc" * 100_000)
            writer.write_eof()
            assert await reader.read() == b"cba" * 100_000
            writer.close()

    asyncio.run(scene())


def test_without_an_upgrade_the_stream_is_a_plain_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(tmp_path) as (_, path, _):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            writer.write(b"xy")
            writer.write_eof()
            assert await reader.read() == b"yx"
            writer.close()

    asyncio.run(scene())
