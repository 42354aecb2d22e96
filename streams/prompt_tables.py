"""Faust's table manager without its grace period, and without its haste where the broker is away."""

from __future__ import annotations

from typing import Any

from faust.tables import TableManager
from faust.tables.recovery import Recovery


class PatientRecovery(Recovery):
    """What comes before messages flow again, after partitions were given out anew.

    Faust gives each step a time, and where that is over goes on **without** it: with a broker that is away meanwhile,
    partitions would be read on from where nobody has put them, cold.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await super()._wait(coro)


class PromptTableManager(TableManager):
    """Starts at once.

    Faust's sleeps a fixed second here so that modules imported late can still add tables; nothing subscribes before,
    so every start takes that second. Vigil's factory declares all agents and tables before the app starts. Given to
    Faust by its setting ``TableManager``.
    """

    @property
    def recovery(self) -> Recovery:
        """A patient one."""
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Faust's own, without its wait."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
