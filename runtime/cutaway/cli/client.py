"""The way to the engine: docker-py carries the requests, our commands read Docker's JSON as it is.

docker-py brings what a client needs to reach any engine: unix sockets, `DOCKER_HOST`, TLS, ssh. Its methods
with their many keywords are not used: a command makes the body that the API documents, and gets back the
JSON that the API documents, so that a student can follow both in the API's reference.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

from cutaway.cli.failures import CommandError
from cutaway.cli.hijack import Connection
from cutaway.errors import EngineUnavailableError

if TYPE_CHECKING:
    from cutaway.cli.session import Session

API_VERSION = "1.47"
Json = Any  # what json.loads gives: the shapes are those of Docker's API reference


def connect(session: Session) -> Api:
    """A client of `DOCKER_HOST`, or of our own engine, which is started when it does not answer.

    Raises EngineUnavailableError when there is none and none can be started.
    """
    if session.other_engine:
        return Api.of_environment(session.other_engine)
    from cutaway.cli.autostart import ensure_engine

    ensure_engine(session.settings)
    return Api(docker.APIClient(base_url=session.settings.address, version=API_VERSION), own=True)


def path_of(*parts: str) -> str:
    """A path with its parts quoted; an image's name keeps its slashes and colon."""
    return "/" + "/".join(quote(part, safe="/:@") for part in parts)


class Api:
    """Docker's Engine API as requests and JSON. `own` tells our engine from others."""

    def __init__(self, client: docker.APIClient, *, own: bool) -> None:
        self._client = client
        self._prefix = f"{client.base_url}/v{client.api_version}"
        self.own = own

    @classmethod
    def of_environment(cls, address: str) -> Api:
        """The engine that `DOCKER_HOST` names. Raises EngineUnavailableError."""
        try:
            keywords = docker.utils.kwargs_from_env()
            return cls(docker.APIClient(version="auto", **keywords), own=False)
        except docker.errors.DockerException as error:
            raise EngineUnavailableError(
                f"no engine answers at {address}", "DOCKER_HOST names it; `unset DOCKER_HOST` for your own"
            ) from error

    def json(self, method: str, path: str, body: Json = None, **params: object) -> Json:
        """One request; its answer as JSON, or None when it is empty. Raises CommandError."""
        with self._request(method, path, params, **_json_body(body)) as answer:
            text = answer.content
        return json.loads(text) if text.strip() else None

    def pieces(self, path: str, **params: object) -> Iterator[bytes]:
        """The body of a GET as it comes. Raises CommandError."""
        with self._request("GET", path, params) as answer:
            yield from answer.iter_content(65536)

    def frames(self, path: str, **params: object) -> Iterator[tuple[int, bytes]]:
        """The body of a GET as Docker's frames: stream number and bytes. Raises CommandError."""
        from cutaway.cli.hijack import demultiplex

        with self._request("GET", path, params) as answer:
            yield from demultiplex(_reader(answer))

    def lines(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        **params: object,
    ) -> Iterator[Json]:
        """The body as JSON objects, as they come. `data`: bytes, a file or an iterator to send."""
        with self._request(method, path, params, data=data, headers=dict(headers or {})) as answer:
            yield from _objects(answer)

    @contextlib.contextmanager
    def later(
        self, method: str, path: str, /, data: Any = None, **params: object
    ) -> Iterator[requests.Response]:
        """A request whose answer has begun (its headers are here) and whose body is read later."""
        with self._request(method, path, params, data=data) as answer:
            yield answer

    @contextlib.contextmanager
    def hijack(self, path: str, body: Json = None, **params: object) -> Iterator[Connection]:
        """A POST whose connection becomes a program's input and output. Raises CommandError."""
        keywords = _json_body(body or {})
        keywords["headers"] |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        with self._request("POST", path, params, **keywords) as answer:
            yield Connection(answer)

    @contextlib.contextmanager
    def _request(
        self, method: str, path: str, params: Mapping[str, object], **keywords: Any
    ) -> Iterator[requests.Response]:
        url = self._prefix + path
        try:
            answer = self._client.request(
                method, url, params=_query(params), stream=True, timeout=None, **keywords
            )
        except requests.exceptions.RequestException as error:
            raise EngineUnavailableError(
                f"the engine at {self._client.base_url} does not answer",
                "`cutaway engine status` tells whether it runs",
            ) from error
        with answer:
            if answer.status_code >= 400:
                raise _refusal(answer, own=self.own)
            try:
                yield answer
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
                raise EngineUnavailableError(
                    "the engine ended the connection", "its engine.log may say why"
                ) from error


def _json_body(body: Json) -> dict[str, Any]:
    if body is None:
        return {}
    return {"data": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}}


def _query(params: Mapping[str, object]) -> dict[str, str]:
    """`True` is 1, a dict is JSON (Docker's filters), None and False are left out."""
    query = {}
    for name, value in params.items():
        if value is None or value is False:
            continue
        if isinstance(value, dict):
            query[name] = json.dumps(value)
        else:
            query[name] = "1" if value is True else str(value)
    return query


def _refusal(answer: requests.Response, *, own: bool) -> CommandError:
    try:
        body = answer.json()
        message, hint = str(body["message"]), str(body.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        message, hint = answer.text.strip() or f"the engine answered {answer.status_code}", ""
    if not own and answer.status_code == 404 and message == "page not found":
        message, hint = "this engine does not tell", "the command asks what only Cutaway's own engine answers"
    return CommandError(message, hint, status=answer.status_code)


def _reader(answer: requests.Response) -> Any:
    """Read the body as it comes: `read(n)` gives exactly n bytes but at the end."""
    return cast(Any, answer.raw)


def _objects(answer: requests.Response) -> Iterator[Json]:
    """JSON values that follow one another, with or without line ends between them."""
    decoder = json.JSONDecoder()
    text = ""
    incremental = _utf8()
    for chunk in answer.iter_content(None):
        text += incremental(chunk)
        while text := text.lstrip():
            try:
                value, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest of it is still on its way
            yield value
            text = text[end:]


def _utf8() -> Any:
    import codecs

    return codecs.getincrementaldecoder("utf-8")("replace").decode
