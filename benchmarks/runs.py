"""Runs ``vigil run`` in a process of its own, as a user would, and gives back its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def vigil_run(*arguments: str, watch: Callable[[psutil.Process], None] | None = None) -> dict[str, Any]:
    """Run with ``arguments`` and return the report. Without a screen the window is drawn offscreen.

    watch: called with the live process about once a second.
    """
    environment = dict(os.environ)
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        environment["QT_QPA_PLATFORM"] = "offscreen"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "monitor", "run", *arguments, "--report", str(report)]
        process = subprocess.Popen(command, env=environment)
        live = psutil.Process(process.pid)
        while True:
            try:
                code = process.wait(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                if watch is not None:
                    watch(live)
        if code != 0:
            raise SystemExit(f"`vigil run {' '.join(arguments)}` ended with exit code {code}")
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return found
