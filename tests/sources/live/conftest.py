"""LabStreamingLayer for the tests: this machine only, in a session of its own, and quiet."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_folder = tempfile.TemporaryDirectory(prefix="vigil-lsl-")
_config = Path(_folder.name) / "lsl_api.cfg"
_config.write_text(
    f"[lab]\nSessionID = vigil-{os.getpid()}\n[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n",
    encoding="utf-8",
)
os.environ["LSLAPICFG"] = str(_config)  # read when liblsl is first used, here and in the outlets' processes
