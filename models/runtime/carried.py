"""What a bundle may carry beside what it runs: the trained model, to be opened, evaluated and exported again in torch.

    bundle/checkpoint/   model.safetensors  config.toml  run.json  calibration.json

The weights before adapters were merged, the settings (without a path of the machine), seed, revision and versions, and
the conformal widening where the run was calibrated. The manifest holds their hashes apart from those of the bundle, so
that the monitor reads none of it, and runs a bundle from which the folder was taken away.
"""

from __future__ import annotations

from pathlib import Path

from models.runtime.bundle import load_bundle, read_manifest, verify_hashes
from models.signals.errors import BadInput

CARRIED = "checkpoint"
NEEDED = ("model.safetensors", "config.toml", "run.json")
FILES = (*NEEDED, "calibration.json")


def carries_model(bundle: Path) -> bool:
    """Whether the manifest of a bundle names a trained model; the files are not looked at."""
    return bool(read_manifest(bundle).checkpoint)


def carried_model(bundle: Path) -> Path:
    """The folder ``checkpoint`` of a bundle, both of them verified. Raises BadInput where the bundle carries none, or
    what lies there is not what the manifest names."""
    load_bundle(bundle)
    hashes, folder = read_manifest(bundle).checkpoint, bundle / CARRIED
    if not hashes:
        raise BadInput(
            f"a bundle that carries its trained model ({CARRIED}/)", f"none in {bundle}, which can only be run",
            "name the run folder that it was made in; what it estimates can be judged without: "
            "`python -m benchmarks estimates --bundle BUNDLE RECORDINGS`",
        )  # fmt: skip
    if strange := sorted((set(NEEDED) - set(hashes)) | (set(hashes) - set(FILES))):
        raise BadInput(
            f"{', '.join(FILES)} as the trained model of a bundle", f"{strange[0]} missing or surplus in {bundle}",
            "export the model again with this version of Vigil",
        )  # fmt: skip
    if folder.is_symlink() or not folder.is_dir():
        found = "a symbolic link" if folder.is_symlink() else "no such folder"
        raise BadInput(
            f"the trained model in {folder}, as the bundle's manifest names it", found,
            "copy the bundle again with all its folders; `vigil run` does without",
        )  # fmt: skip
    verify_hashes(folder, hashes, f"the trained model in bundle {bundle}")
    return folder
