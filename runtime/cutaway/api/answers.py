"""The shapes that an answer has: a JSON value, nothing, a stream of JSON lines, an error.

Errors become an answer in one place, `error_answer`: one of ours keeps its status and has its message and
hint told to the client; anything else is a defect of the engine, which is told in one line and logged with
its traceback.
"""

from __future__ import annotations

import errno
import logging
from typing import Any

import msgspec
from aiohttp import web

from cutaway.errors import CutawayError
from cutaway.oci.digest import Digest

log = logging.getLogger(__name__)


def _foreign(value: Any) -> Any:
    if isinstance(value, Digest):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_foreign)


def json_answer(value: Any, status: int = 200) -> web.Response:
    """A JSON value. msgspec structs, dataclasses and digests are written as what they stand for."""
    body = _encoder.encode(value)
    return web.Response(body=body, status=status, content_type="application/json")


def no_content(status: int = 204) -> web.Response:
    """Done, nothing to tell."""
    return web.Response(status=status)


def error_body(error: CutawayError) -> dict[str, str]:
    """`{"message": …}` as every Docker client reads it, and our hint beside it when there is one."""
    body = {"message": error.message}
    if error.hint:
        body["hint"] = error.hint
    return body


def error_answer(error: Exception, what: str) -> web.Response:
    """Turn any exception into an answer. `what` is the request in words, for the log."""
    if isinstance(error, CutawayError):
        if error.status >= 500:
            log.warning("%s: %s", what, error.message, exc_info=error)
        return json_answer(error_body(error), error.status)
    log.error("%s failed", what, exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        where = f" at {error.filename}" if error.filename else ""
        message = f"cannot write{where}: {(error.strerror or '').lower()}"
        hint = "free some space below the engine's root folder"
        return json_answer({"message": message, "hint": hint}, 500)
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return json_answer({"message": f"the engine failed: {line}", "hint": "see engine.log in its root"}, 500)


class JsonLines:
    """A stream of JSON objects, one per line, as builds, loads and events send them.

    The status is sent with the first line at the latest; after that an error can only be told as a line
    `{"errorDetail": {"message": …}, "error": …}`, which every Docker client knows.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": "application/json"})

    async def open(self) -> None:
        """Send status and headers now: the client waits for them."""
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def send(self, value: Any) -> None:
        """One object. Raises ConnectionError when the client is gone."""
        await self.open()
        await self.response.write(_encoder.encode(value) + b"\r\n")

    async def fail(self, error: CutawayError) -> None:
        """Tell an error: as the answer's status when nothing was sent yet (raises it), else as a line."""
        if not self.response.prepared:
            raise error
        detail = error_body(error)
        await self.send({"errorDetail": detail, "error": error.message})
