"""The engine as a process: one lock, one socket, one event loop, and a clean end.

At start, in this order: the root folder is made and locked (`engine.lock`, held for as long as the process
lives, so the kernel releases it even after SIGKILL); the engine takes over what its predecessor left; the
socket is bound under a umask that makes it 0600 from its first moment on. SIGTERM and SIGINT end it: no new
connections, streams closed, keeper released. Containers go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp import web

from cutaway.api.dispatch import Dispatcher
from cutaway.api.table import all_routes
from cutaway.engine import Engine
from cutaway.errors import ConflictError, CutawayError, NotPermittedError
from cutaway.settings import Settings

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0


def run_engine(settings: Settings) -> None:
    """Be the engine until SIGTERM or SIGINT. It is ready when `GET /_ping` on the socket answers.

    Raises ConflictError when another engine holds the root or something is in the socket's place,
    NotPermittedError when the root folder cannot be written.
    """
    prepare_root(settings)
    with lock_root(settings):
        _log_to(settings.log)
        asyncio.run(serve(settings))


def prepare_root(settings: Settings) -> None:
    """Make the root folder, private to its owner, and try to write to it. Raises NotPermittedError."""
    probe = settings.root / f".write-{os.getpid()}"
    try:
        settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise NotPermittedError(
            f"cannot write to the root folder {settings.root}: {(error.strerror or str(error)).lower()}",
            "free some space, or choose another folder with --root or CUTAWAY_ROOT",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


@contextlib.contextmanager
def lock_root(settings: Settings) -> Iterator[None]:
    """Hold the root folder. Raises ConflictError, with the holder's pid, when another engine does."""
    descriptor = os.open(settings.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise ConflictError(
                f"another engine, process {holder}, uses the root folder {settings.root}",
                "stop it with `cutaway engine stop`, or choose another folder with --root",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


async def serve(settings: Settings) -> None:
    """Start the engine, serve its API, stop it at a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = Engine(settings)
    dispatcher = Dispatcher(engine, all_routes())
    server = web.Server(dispatcher, handler_cancellation=True, access_log=None)
    check_socket_place(settings.socket)
    await engine.start()
    try:
        async with _listening(server, settings.socket):
            log.info("engine %s ready on %s", settings.instance, settings.socket)
            await stop.wait()
            log.info("engine stops")
            engine.events.close()
            await dispatcher.close(GRACE_SECONDS)
            await server.shutdown(1.0)
    finally:
        await engine.stop()


@contextlib.asynccontextmanager
async def _listening(server: web.Server, path: Path) -> AsyncIterator[None]:
    listener = bind(path)
    loop = asyncio.get_running_loop()
    asyncio_server = await loop.create_unix_server(server, sock=listener, backlog=512)
    inode = path.stat().st_ino
    try:
        yield
    finally:
        asyncio_server.close()
        with contextlib.suppress(OSError):
            if path.lstat().st_ino == inode:
                path.unlink()


def check_socket_place(path: Path) -> None:
    """See that a socket may be put at `path`. Raises ConflictError when something else is in the way.

    A socket that nobody listens on is what a killed engine leaves: it may be replaced.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise ConflictError(f"cannot make socket {path}: a folder of its path is a file") from error
    if not stat.S_ISSOCK(mode):
        raise ConflictError(
            f"{path} is in the way: it is not a socket", "move it away, or choose another place with --socket"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:
            pass
    raise ConflictError(
        f"{path} is in the way: another engine listens on it",
        "stop it with `cutaway engine stop`, or choose another place with --socket",
    )


def bind(path: Path) -> socket.socket:
    """A listening unix socket, mode 0600 from its first moment on. Raises NotPermittedError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise NotPermittedError(
            f"cannot make socket {path}: {(error.strerror or str(error)).lower()}",
            "choose another place with --socket or CUTAWAY_HOST",
        ) from error
    return listener


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=4_000_000, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(os.environ.get("CUTAWAY_LOG", "INFO").upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def main() -> None:
    """`python -m cutaway.api.server`: the engine with the settings of the environment."""
    try:
        run_engine(Settings.from_environment())
    except CutawayError as error:
        sys.stderr.write("\n".join(error.lines()) + "\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
