"""Faust's table manager without its grace period."""

from __future__ import annotations

from faust.tables import TableManager


class PromptTableManager(TableManager):
    """Starts at once.

    Faust's sleeps a fixed second here so that modules imported late can still add tables; nothing subscribes before,
    so every start takes that second. Vigil's factory declares all agents and tables before the app starts. Given to
    Faust by its setting ``TableManager``.
    """

    async def on_start(self) -> None:
        """Faust's own, without its wait."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
