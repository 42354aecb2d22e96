"""Where a display keeps what its user sets and does: the folders of the operating system for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ui.window.alarm_files import AlarmFiles


def alarm_files() -> AlarmFiles:
    """Limits of alarms in the user's configuration (``~/.config/vigil``), their states and journals in the user's state
    (``~/.local/state/vigil``)."""
    import platformdirs

    from ui.window.alarm_files import AlarmFiles

    return AlarmFiles(
        platformdirs.user_config_path("vigil", appauthor=False), platformdirs.user_state_path("vigil", appauthor=False)
    )
