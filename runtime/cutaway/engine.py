"""The parts put together: one engine on one root folder.

Nothing is decided here. Each part gets the parts that it stands on, in the order of the imports: state and
content, layers and images, the network, the keeper that forks, the containers, the builder. `start` wakes
them in that order and takes over what an earlier engine left; `stop` lets go of them in reverse, and leaves
containers running.
"""

from __future__ import annotations

import logging
import shutil

from cutaway.events import EventLog
from cutaway.layer.layers import Layers
from cutaway.network.manager import Network
from cutaway.settings import Settings
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Images, Use

log = logging.getLogger(__name__)


class Engine:
    """Everything that the API needs, as attributes. Made and used within one event loop."""

    def __init__(self, settings: Settings) -> None:
        make_folders(settings)
        self.settings = settings
        self.events = EventLog()
        self.database = Database(settings.database)
        self.content = ContentStore(settings.content)
        self.layers = Layers(settings.layers, self.content)
        self.images = Images(self.database, self.content, self.layers, self._used_by)
        self.network = Network(settings, self.database)

    async def start(self) -> None:
        """Get ready to answer: take over the containers that are already there."""

    async def stop(self) -> None:
        """Let go of everything. Containers that run go on."""
        self.events.close()
        await self.network.stop()
        self.images.close()
        self.database.close()

    def _used_by(self, image_id: str) -> list[Use]:
        return []


def make_folders(settings: Settings) -> None:
    """Make the folders below the root and throw away what was half made when an earlier engine died."""
    shutil.rmtree(settings.tmp, ignore_errors=True)
    for folder in (settings.content, settings.layers, settings.containers, settings.cache, settings.tmp):
        folder.mkdir(mode=0o700, exist_ok=True)
