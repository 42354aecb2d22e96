"""Where a display keeps what its user sets and does: the folders of the operating system for that."""

from __future__ import annotations

from platformdirs import user_state_path

from monitor.config_file import config_folder
from ui.window.alarm_files import AlarmFiles


def alarm_files() -> AlarmFiles:
    """Limits of alarms in the user's configuration (``~/.config/vigil``), their states and journals in the user's state
    (``~/.local/state/vigil``)."""
    return AlarmFiles(config_folder(), user_state_path("vigil", appauthor=False))
