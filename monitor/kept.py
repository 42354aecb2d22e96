"""Where a display keeps what its user sets and does: the folders of the operating system for that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ui.window.alarm_files import AlarmFiles


def config_folder() -> Path:
    """Of what its user chooses (``~/.config/vigil``)."""
    import platformdirs

    return platformdirs.user_config_path("vigil", appauthor=False)


def alarm_files() -> AlarmFiles:
    """Limits of alarms in the user's configuration (``~/.config/vigil``), their states and journals in the user's state
    (``~/.local/state/vigil``)."""
    import platformdirs

    from ui.window.alarm_files import AlarmFiles

    return AlarmFiles(config_folder(), platformdirs.user_state_path("vigil", appauthor=False))
