"""``vigil settings``: what is in force, and where each value is from."""

from __future__ import annotations

import typer

from monitor.cli_options import Config
from monitor.config import in_force


def settings(config: Config = None) -> None:
    """The settings in force, as a settings file, each line with the file, variable or default that it is from."""
    from monitor.config_words import lines

    for line in lines(in_force(config)):
        typer.echo(line)
