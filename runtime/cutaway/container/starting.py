"""One start: the ground is prepared, the plan goes to the keeper, and the record says what became of it."""

from __future__ import annotations

import msgspec

from cutaway.container import folders, records
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.logoptions import log_options
from cutaway.container.preparation import Preparation
from cutaway.container.records import RUNNING
from cutaway.container.shelf import Kept, Shelf
from cutaway.errors import CutawayError
from cutaway.settings import Settings


class Starting:
    """Starts containers whose lock the caller holds."""

    def __init__(
        self, shelf: Shelf, keeper: KeeperClient, preparation: Preparation, settings: Settings
    ) -> None:
        self._shelf, self._keeper, self._preparation = shelf, keeper, preparation
        self._settings = settings

    async def launch(self, kept: Kept) -> None:
        """Start it, or raise what it failed with: the record then has the error, and nothing else is left."""
        try:
            await self._launch(kept)
        except CutawayError as error:
            await self._failed(kept, error)
            raise
        finally:
            self._shelf.save(kept)

    async def _launch(self, kept: Kept) -> None:
        record, folder = kept.record, self._settings.container(kept.record.id)
        try:
            plan = await self._preparation.prepare(record)
        except OSError as error:
            raise folders.refusal(error, folder) from error
        self._shelf.save(kept)  # the endpoint: an engine that dies now is succeeded by one that knows of it
        options = log_options(record.config, record.host)
        answer = await self._keeper.start(
            record.id,
            plan.to_json(),
            tty=record.config.tty,
            stdin=record.config.open_stdin,
            stdin_once=record.config.stdin_once,
            log=options and {"path": str(folder / "json.log"), **msgspec.structs.asdict(options)},
            exit=str(folder / "exit.json"),
            trace=str(folder / "trace.json"),
        )
        record.state = records.State(
            status=RUNNING,
            pid=answer["pid"],
            start_time=answer["start_time"],
            started_at=records.rfc3339(answer["started"]),
            finished_at=record.state.finished_at,
        )

    async def _failed(self, kept: Kept, error: CutawayError) -> None:
        """Docker's codes: 127 there is no such program, 126 it cannot be executed, 128 everything else."""
        record = kept.record
        await self._preparation.undo(record)
        await self._keeper.request("forget", id=record.id)
        record.state.exit_code = error.exit_code if error.exit_code in (126, 127) else 128
        record.state.error = error.message
