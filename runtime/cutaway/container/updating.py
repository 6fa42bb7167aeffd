"""`docker update`: other limits for a container, also while it runs.

The kernel is asked first and the record written after it: a limit that the kernel refuses (less memory than
is in use, say) leaves everything as it was. What is not named stays.

Source: Docker Engine API, `POST /containers/{id}/update`.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from cutaway.container.lifecycle import Containers
from cutaway.container.records import Record
from cutaway.container.resources import cgroup_step, check_resources, discard_unsupported, merged
from cutaway.container.restarting import check_policy
from cutaway.container.spec import HostConfig, UpdateBody
from cutaway.errors import ConflictError, CutawayError
from cutaway.linux.kernel import Kernel
from cutaway.linux.step import Context


class Updating:
    """Changes limits and restart policies of the containers of one engine."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    async def update(self, name: str, wishes: UpdateBody) -> list[str]:
        """Set what is wished for; returns warnings.

        Raises NotFoundError, BadInputError, ConflictError for one that is being removed, CutawayError with
        the kernel's reason. Then nothing has changed.
        """
        kept = self._containers.shelf.find(name)
        async with kept.lock:
            if kept.removing:
                raise ConflictError(
                    f"Cannot update container {kept.record.id}: "
                    'container is marked for removal and cannot be "update"'
                )
            record = kept.record
            warnings = list(discard_unsupported(wishes))
            host = merged(record.host, wishes)
            assert isinstance(host, HostConfig)
            if wishes.restart_policy.name:
                host.restart_policy = wishes.restart_policy
                check_policy(host.restart_policy, auto_remove=host.auto_remove, changing=True)
            check_resources(host)
            changed = msgspec.structs.replace(record, host=host)
            if record.state.running:
                await asyncio.to_thread(self._change, record, changed)
            record.host = host
            self._containers.shelf.save(kept)
        self._containers.emit("update", record)
        return warnings

    def _change(self, before: Record, after: Record) -> None:
        instance, context = self._containers.settings.instance, Context(Kernel())
        try:
            cgroup_step(after, instance).change(context)
        except OSError as error:
            with contextlib.suppress(OSError):
                cgroup_step(before, instance).change(context)
            raise CutawayError(
                f"Cannot update container {before.id}: {error.filename}: {(error.strerror or '').lower()}",
                "does it use more by now than you want to leave it?",
            ) from error
