"""A part's process, which has its time and no more."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.gpu.part import PartRequest

GRACE_S = 15.0
"""Beyond the budget: a part that looks at its clock ends by itself, and what it says then is worth more."""
_ROOT = Path(__file__).resolve().parents[2]


def run_in_process(request: PartRequest, environment: Mapping[str, str], grace_s: float = GRACE_S) -> str:
    """Runs the part to its end. "" or, where it was ended or crashed, the sentence on that."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmarks.gpu.part", request.text()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | dict(environment), stdin=subprocess.DEVNULL,
        start_new_session=True,  # its own processes end with it
    )  # fmt: skip
    try:
        code = process.wait(request.budget_s + grace_s)
    except subprocess.TimeoutExpired:
        return f"it was ended after its {request.budget_s:.0f} s; what it had found until then is told"
    finally:
        _end(process)
    return "" if code == 0 else f"it ended in {_ending(code)}; what it had found until then is told"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever of it still runs, those that it started included."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # pragma: no cover - Windows
            process.kill()
    process.wait()


def _ending(code: int) -> str:
    try:
        return f"a crash ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    except ValueError:
        return f"a crash (signal {-code})"
