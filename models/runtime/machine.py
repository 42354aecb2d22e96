"""The machine in words, for cards, tables and run folders: never its name, user or paths."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor and count, system and Python, e.g. ``Intel Xeon, 2 processors, Linux, Python 3.12.3``."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} processors, {platform.system()}, Python {platform.python_version()}"
