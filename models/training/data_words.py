"""What a run was trained on, in words for bundle, card and figures; never a path of the machine."""

from __future__ import annotations

from models.data.sources import FolderData
from models.training.config import DataConfig, MixedData, TrainConfig, site_of


def kind_of(config: TrainConfig) -> str:
    """``simulated``, ``recorded`` or ``mixed``."""
    if isinstance(config.data, DataConfig):
        return "simulated"
    return "mixed" if isinstance(config.data, MixedData) else "recorded"


def strides_of(config: TrainConfig, kind: str) -> str:
    """Seconds between the test windows of ``recorded`` or ``simulated`` patients, in words: "20", or "5 and 10"."""
    parts = (config.data.simulated, *config.data.recorded) if isinstance(config.data, MixedData) else (config.data,)
    simulated = kind == "simulated"
    found = {p.test_stride_s if isinstance(p, DataConfig) else p.stride_s
             for p in parts if isinstance(p, DataConfig) == simulated}  # fmt: skip
    return " and ".join(map(str, sorted(found)))


def trained_on(config: TrainConfig, patients: int | None = None, recorded: int | None = None) -> str:
    """One line. patients: folders of the training group; recorded: those that are recordings; None where the windows
    are not at hand."""
    return _learnt_from(config, patients, recorded) + (f"; begun with {config.start}" if config.start else "")


def _learnt_from(config: TrainConfig, patients: int | None, recorded: int | None) -> str:
    data, count = config.data, "" if patients is None else f"{patients} "
    if isinstance(data, DataConfig):
        return f"{data.train_patients} simulated patients; no real recording"
    if isinstance(data, MixedData):
        sites = ", ".join(site_of(part) for part in data.recorded if part.shares.train)
        count = "" if recorded is None else f"{recorded} "
        return f"{data.simulated.train_patients} simulated patients and {count}recordings of {sites}"
    return f"{count}recordings of {type(data).__struct_config__.tag}"


def data_words(config: TrainConfig, train_windows: int) -> str:
    """A paragraph for the card."""
    begun = f"\n\nTraining began with the weights of {config.start}." if config.start else ""
    return _data_words(config, train_windows) + begun


def _data_words(config: TrainConfig, train_windows: int) -> str:
    data = config.data
    if isinstance(data, MixedData):
        sites = ", ".join(map(site_of, data.recorded))
        owed = [part.attribution for part in data.recorded if isinstance(part, FolderData) and part.attribution]
        return (
            f"{_simulated_words(data.simulated)}\n\nBeside them recordings of {sites}, split by patient; of the "
            f"windows that training draws {data.recorded_share:.0%} are recorded ({train_windows:,} windows in all). "
            "What was not measured was neither learnt nor scored.\n" + "".join(f"\n- {words}" for words in owed)
        ).rstrip()
    if isinstance(data, DataConfig):
        return f"{_simulated_words(data)} {train_windows:,} training windows, one every {data.stride_s} s."
    return (
        f"Recordings of {type(data).__struct_config__.tag}, split by patient into training, early stopping, "
        f"calibration and test; {train_windows:,} training windows, one every {data.stride_s} s, cut by the pipeline "
        "of the live stream. What was not measured was neither learnt nor scored."
    )


def _simulated_words(data: DataConfig) -> str:
    return (
        f"{data.train_patients} simulated patients for training, {data.stop_patients} for early stopping, "
        f"{data.calibration_patients} for calibration, {data.test_patients} for testing, disjoint; "
        f"{data.duration_s // 60} min each, cut by the pipeline of the live stream. The test patients have a device "
        "profile and a mechanism of hypotension that training has not met. Hypotension is labelled from the "
        "beat-to-beat pressure as measured; a patient who is hypotensive already counts as positive in training."
    )
