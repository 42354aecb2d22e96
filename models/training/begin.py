"""``vigil train … --from BUNDLE``: the weights that a bundle carries come first, and not random ones.

Encoders stay the bundle's, adapters are trained on; every stage with steps goes on from there, on whatever patients the
configuration names. Which model came first is part of the run's configuration, and of every fingerprint.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from models.physiome import PhysioME, has_adapters
from models.runtime.bundle import load_bundle, read_manifest
from models.signals.errors import BadInput
from models.training.config import TrainConfig
from models.training.run_folder import MODEL, open_run

LORA = ("lora_rank", "lora_alpha", "lora_dropout")


def begin_with(bundle: Path, settings: TrainConfig) -> tuple[PhysioME, TrainConfig]:
    """The model that ``bundle`` carries, and the settings with a note of it. BadInput where it carries none, or another
    network than the settings name."""
    opened, spec = open_run(bundle), load_bundle(bundle).spec
    start = f"{spec.name} {spec.version} ({read_manifest(bundle).checkpoint[MODEL][:12]})"
    if settings.pretrain.steps:
        raise BadInput(
            f"steps = 0 in [pretrain], since the encoders are those of {start}", f"{settings.pretrain.steps}",
            "set it to 0 in the configuration; every later stage can be trained on",
        )  # fmt: skip
    ours, theirs = (replace(s.architecture, use_memory=False) for s in (settings, opened.settings))
    if ours != theirs:
        raise BadInput(
            f"the network of {start}, size {opened.settings.size!r}", f"size {settings.size!r}, or another [objective]",
            "name the same in the configuration",
        )  # fmt: skip
    for name in LORA if has_adapters(opened.model) else ():
        wanted, found = getattr(opened.settings.fusion, name), getattr(settings.fusion, name)
        if wanted != found:
            raise BadInput(f"{name} = {wanted} in [fusion], as in {start}", f"{found}", "correct the configuration")
    return opened.model, msgspec.structs.replace(settings, start=start)
