"""A thread with mounts of its own.

Mount namespaces belong to threads, not to processes: unshare(2) gives the calling thread a private copy of
the mount table, and with it its own current directory and umask. The overlay is mounted there, so the host
never sees it, no child process is started, and when the thread ends the mounts are gone whatever happened.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from cutaway.linux.constants import CLONE_NEWNS
from cutaway.linux.kernel import Kernel
from cutaway.linux.mounts import PrivateMounts
from cutaway.linux.step import Context

T = TypeVar("T")


async def in_private_mounts(work: Callable[[], T], stop: threading.Event) -> T:
    """Run `work` in a thread of its own with a mount namespace of its own.

    When the caller is cancelled, `stop` is set and the thread is waited for: `work` looks at it now and then.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def body() -> None:
        try:
            kernel = Kernel()
            kernel.unshare(CLONE_NEWNS)
            PrivateMounts().execute(Context(kernel))
            os.umask(0)
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, result)

    thread = threading.Thread(target=body, name="private-mounts")
    thread.start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([done])
        done.exception()
        raise
    finally:
        await asyncio.to_thread(thread.join)  # the mounts end with the thread
