"""A bundle on disk: one fp32 ONNX graph with its specification, card, golden cases and hashes.

Layout: ``model.onnx  spec.json  card.md  golden.npz  manifest.json``, and where the spec says ``parts`` also
``scaling.onnx  frames.onnx  trunk.onnx``: the same graph cut where the features of frames may be kept, with weights
that are byte ranges of ``model.onnx``. The manifest names the sha256 of every other file; a file that is missing,
foreign or altered, a link, or a graph with weights elsewhere is refused before anything is parsed by a library.

A bundle may carry the model that it was made from (``checkpoint/``, :mod:`models.runtime.carried`); nothing here needs
it or reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from models.runtime.backend import Arrays
from models.runtime.references import WHOLE, check_references
from models.runtime.spec import (
    AUTO,
    BOTH_IMPUTERS,
    BUNDLE_SCHEMA,
    NOTHING,
    OUTPUTS,
    RESTORATION,
    BundleSpec,
)
from models.signals.errors import BadInput
from models.signals.modalities import GRID_RATE_HZ, Modality
from models.signals.windows import CONTEXT_FIELDS, WindowSpec

_ZOO = Path(__file__).resolve().parent.parent / "zoo"
DEMO_BUNDLE = _ZOO / "demo"
IMPUTING_BUNDLE = _ZOO / "imputing"
"""The same network with its imputers in the graph, which the monitor does not need."""
MAX_FILE_BYTES = 4 << 30
MAX_WINDOW_S = 600
GOLDEN_BASE = "all_present"
HORIZONS = 3  # of the graph's risk output
MOVES_SCHEMA = 2
"""The first whose pressure table says what an estimate is made of; bundles without a table may be older."""
MANIFEST = "manifest.json"
NEEDED_FILES = (WHOLE, "spec.json", "golden.npz", "card.md")
ADVICE = "give --bundle the folder of a model made by `vigil train` or `vigil export`"
PARTS = SCALING_PART, FRAMES_PART, TRUNK_PART = "scaling.onnx", "frames.onnx", "trunk.onnx"

_T = TypeVar("_T")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``manifest.json``: schema and sha256 of every file of the bundle, and of those in ``checkpoint/``."""

    schema: int
    files: dict[str, str]
    checkpoint: dict[str, str] = {}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. Raises BadInput from :func:`load_bundle` when it cannot be trusted."""

    path: Path
    spec: BundleSpec
    fingerprint: str  # first 12 hex digits of the graph's sha256

    @property
    def model_path(self) -> Path:
        """The whole graph."""
        return self.path / WHOLE

    @cached_property
    def window_spec(self) -> WindowSpec:
        """What the stream must cut for this model."""
        s = self.spec
        return WindowSpec(tuple(Modality(m) for m in s.modalities), s.rate_hz, s.frame_s, s.frames, s.hop_s)

    def imputer(self, asked: str) -> str:
        """What fills absent slots if ``asked`` is wanted: itself, or what the graph has for ``auto``. Raises BadInput
        for an imputer that the bundle does not hold."""
        held = self.spec.imputers or (NOTHING,)
        if asked == AUTO:
            return held[0]
        if asked not in held:
            raise BadInput(
                f"an imputer out of {', '.join(held)} in bundle {self.spec.name}", repr(asked),
                "choose one of these, or another --bundle",
            )  # fmt: skip
        return asked

    def golden(self) -> dict[str, tuple[Arrays, Arrays]]:
        """Golden cases: name -> (inputs, expected outputs).

        The keys are ``case/in/name`` and ``case/out/name``. What is the same twice is kept once: an input that a case
        lacks is that of the case ``all_present``, and ``case/like/name`` names the case whose output it shares.
        """
        cases: dict[str, tuple[Arrays, Arrays]] = {}
        shared: list[tuple[str, str, str]] = []
        with np.load(self.path / "golden.npz", allow_pickle=False) as archive:
            for key in archive.files:
                case, side, name = key.split("/")
                inputs, outputs = cases.setdefault(case, ({}, {}))
                if side == "like":
                    shared.append((case, name, str(archive[key])))
                else:
                    (inputs if side == "in" else outputs)[name] = archive[key]
        for case, name, like in shared:
            cases[case][1][name] = cases[like][1][name]
        base = cases[GOLDEN_BASE][0] if GOLDEN_BASE in cases else {}
        return {case: (base | inputs, outputs) for case, (inputs, outputs) in cases.items()}


def load_bundle(path: Path | str | None = None, imputer: str = AUTO) -> Bundle:
    """Read and verify the bundle folder; by default the shipped one, of those the one with ``imputer``."""
    shipped = IMPUTING_BUNDLE if imputer in BOTH_IMPUTERS else DEMO_BUNDLE
    root, advice = Path(path) if path is not None else shipped, ADVICE
    manifest = read_manifest(root)
    _verify_files(root, manifest, advice)
    _verify_graphs(root, manifest)
    if manifest.schema < MOVES_SCHEMA:
        _refuse_old_table(root, manifest.schema, advice)
    spec = _decode(root / "spec.json", BundleSpec, advice)
    _verify_spec(spec, root)
    for name in PARTS if spec.parts else ():
        if name not in manifest.files:
            raise BadInput(f"{name} in the manifest of bundle {root}, as its spec says", "no such entry", advice)
    return Bundle(root, spec, manifest.files[WHOLE][:12])


def read_manifest(root: Path) -> Manifest:
    """What the bundle in ``root`` says it is made of; nothing of it is verified yet. BadInput where there is none."""
    if not root.is_dir():
        raise BadInput("a model bundle (a folder with manifest.json)", f"no folder at {root}", ADVICE)
    _refuse_link(root / MANIFEST)
    manifest = _decode(root / MANIFEST, Manifest, ADVICE)
    if manifest.schema > BUNDLE_SCHEMA:
        raise BadInput(
            f"a bundle of schema {BUNDLE_SCHEMA} or older",
            f"schema {manifest.schema} in {root}",
            "update Vigil",
        )
    return manifest


def _verify_files(root: Path, manifest: Manifest, advice: str) -> None:
    for name in NEEDED_FILES:
        if name not in manifest.files:
            raise BadInput(f"{name} in the manifest of bundle {root}", "no such entry", advice)
    verify_hashes(root, manifest.files, f"bundle {root}")


def verify_hashes(folder: Path, files: Mapping[str, str], what: str) -> None:
    """Raises BadInput unless each of ``files`` (name -> sha256) lies in ``folder`` itself, whole and unaltered."""
    for name, expected in files.items():
        if Path(name).name != name:
            raise BadInput("plain file names in a bundle's manifest", repr(name), ADVICE)
        file = folder / name
        _refuse_link(file)
        if not file.is_file():
            raise BadInput(f"the file {name} in {what}", "nothing there", ADVICE)
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"at most {MAX_FILE_BYTES >> 30} GiB a bundle file", f"a larger {name}", ADVICE)
        with file.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != expected:
            raise BadInput(
                f"sha256 {expected[:12]}… for {name} of {what}",
                f"{found[:12]}…, so the file was altered or damaged",
                "export or download the bundle again",
            )


def _refuse_link(file: Path) -> None:
    if file.is_symlink():  # what it leads to lies outside the bundle, and may be exchanged there after the check
        raise BadInput(f"the file {file} itself", "a symbolic link", "copy what it leads to into its place")


def _verify_graphs(root: Path, manifest: Manifest) -> None:
    check_references(root / WHOLE, None)
    size = (root / WHOLE).stat().st_size
    for name in PARTS:
        if name in manifest.files:
            check_references(root / name, size)


def _refuse_old_table(root: Path, schema: int, advice: str) -> None:
    """Its intervals were measured of another estimate than this version makes."""
    spec = _decode(root / "spec.json", dict[str, msgspec.Raw], advice)
    if bytes(spec.get("pressure", b"null")) != b"null":
        raise BadInput(
            f"a pressure table of bundle schema {MOVES_SCHEMA}",
            f"one of schema {schema} in {root / 'spec.json'}, measured of another estimate",
            "export the model again with this version of Vigil",
        )


def _verify_spec(spec: BundleSpec, root: Path) -> None:
    known = [m.value for m in Modality]
    unknown = [m for m in spec.modalities if m not in known]
    if unknown or not spec.modalities:
        raise BadInput(
            f"modalities out of {', '.join(known)}",
            f"{', '.join(unknown) or 'none'} in {root / 'spec.json'}",
            "use a bundle made for this version of Vigil",
        )
    if tuple(spec.context_fields) != CONTEXT_FIELDS:
        raise BadInput(
            f"context fields {', '.join(CONTEXT_FIELDS)}",
            f"{', '.join(spec.context_fields)} in {root / 'spec.json'}",
            "export the model again with this version of Vigil",
        )
    where, again = f"another in {root / 'spec.json'}", "export the model again with this version of Vigil"
    if spec.rate_hz != GRID_RATE_HZ:
        raise BadInput(f"a model at {GRID_RATE_HZ} Hz", f"{spec.rate_hz} Hz in {root / 'spec.json'}", again)
    if len(set(spec.modalities)) < len(spec.modalities):
        raise BadInput("each modality once", where, again)
    if min(spec.frame_s, spec.frames, spec.hop_s) < 1 or not spec.hop_s <= spec.frame_s * spec.frames <= MAX_WINDOW_S:
        raise BadInput(f"frames of a window of at most {MAX_WINDOW_S} s, and a hop within it", where, again)
    if len(spec.horizons_min) != HORIZONS:
        raise BadInput(f"{HORIZONS} horizons", where, again)
    if strange := sorted(set(spec.outputs) - set(OUTPUTS)):
        raise BadInput(f"outputs out of {', '.join(OUTPUTS)}", f"{', '.join(strange)} in {root / 'spec.json'}", again)
    if spec.memory and "tokens" not in spec.given:
        raise BadInput("the output tokens of a model with a memory, which is made of them", where, again)
    if spec.imputers not in ((), (RESTORATION,), BOTH_IMPUTERS):
        raise BadInput(f"no imputers, {RESTORATION}, or {' and '.join(BOTH_IMPUTERS)}", where, again)
    for name, table in spec.conformal.items():
        rows, columns = len(table.missing_edges) - 1, len(table.age_edges_s) - 1
        if min(rows, columns) < 1 or [len(row) for row in table.widen] != [columns] * rows:
            raise BadInput(f"a value for each bin of the conformal table {name}", where, again)


def _decode(path: Path, kind: type[_T], advice: str) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise BadInput(f"{path.name} in a model bundle", f"none at {path}", advice) from None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"a readable {path.name}", f"{path} ({error})", advice) from error
