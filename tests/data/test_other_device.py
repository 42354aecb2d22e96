"""A recording through other devices: later, filtered, levelled otherwise; the patient and what is absent unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import open_patient
from models.data.other_device import LATER_S, OtherDevice, filtered
from models.data.prepare import prepare_studies
from models.data.sim.pulse import catheter_kernel
from models.data.sources import FolderData
from models.data.splits import Shares
from models.signals.channels import map_channels
from models.signals.modalities import Modality
from models.signals.readers.opener import open_recording
from models.signals.windows import CONTEXT_FIELDS, WindowSpec
from tests.data.real_files import write_case

SPEC = WindowSpec(frames=8)
C = {name: i for i, name in enumerate(CONTEXT_FIELDS)}


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("case") / "a.vital", abp_gap=(60, 84))


def test_the_filter_is_the_convolution_and_keeps_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(80, 10, 700).astype(np.float32)
    kernel = catheter_kernel(125.0, 15.0, 0.5)
    plain = np.convolve(np.concatenate([np.full(len(kernel) - 1, values[0]), values]), kernel, "valid")
    np.testing.assert_allclose(filtered(values, kernel), plain, atol=1e-3)
    values[:20] = values[300:340] = np.nan
    out = filtered(values, kernel)
    assert np.array_equal(np.isnan(out), np.isnan(values))
    again = values.copy()
    again[340:] += 5.0
    assert np.array_equal(filtered(again, kernel)[:300], out[:300], equal_nan=True), "what comes later is not known"
    assert np.isnan(filtered(np.full(9, np.nan, np.float32), kernel)).all()


def test_each_channel_is_later_by_its_own_delay_and_sections_agree(case: Path) -> None:
    recording = open_recording(str(case))
    tracks = {c.track: m for m, c in map_channels(recording).channels.items()}
    heard = OtherDevice(recording, tracks, 7)
    by_name = {t.name: t for t in recording.tracks}
    for track in heard.tracks:
        later = heard.later_s.get(tracks.get(track.name, Modality.ECG), 0.0)
        assert track.start_s == pytest.approx(by_name[track.name].start_s + later) and 0 <= later <= LATER_S
    name = next(n for n, m in tracks.items() if m is Modality.ABP)
    whole = heard.read(name, 0.0, 1e6)
    parts = [heard.read(name, a, a + 10.0) for a in range(0, 151, 10)]
    joined = np.concatenate([p.values for p in parts])
    assert np.array_equal(joined, whole.values, equal_nan=True) and parts[0].first_index == 0
    own = recording.read(name, 0.0, 1e6).values
    assert np.array_equal(np.isnan(own), np.isnan(whole.values))
    assert np.nanmean(whole.values) == pytest.approx(np.nanmean(own) + heard.device.abp_offset_mmhg, abs=0.3)
    assert OtherDevice(recording, tracks, 8).device != heard.device
    recording.close()


def test_only_training_patients_are_heard_again_and_their_labels_agree(case: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(case, tmp_path / "in" / f"{name}.vital")

    def cut(shares: Shares, devices: int, out: str) -> dict[str, Path]:
        settings = FolderData(path=str(tmp_path / "in"), patient="file", processes=1, shares=shares,
                              other_devices=devices)  # fmt: skip
        return {p.name: p for p in prepare_studies(settings, SPEC, tmp_path / out, quiet).facts}

    assert len(cut(Shares(0.0, 0.0, 0.0, 1.0), 2, "test")) == 2
    found = cut(Shares(1.0, 0.0, 0.0, 0.0), 1, "train")
    assert len(found) == 4
    plain = open_patient(next(p for name, p in found.items() if name.startswith("a") and "device" not in name))
    other = open_patient(next(p for name, p in found.items() if name.startswith("a") and "device" in name))
    assert plain.who == other.who and plain.facts["device_seed"] is None and other.facts["device_seed"]
    ends, mine, its = np.intersect1d(plain.arrays["end_s"], other.arrays["end_s"], return_indices=True)
    assert len(ends) > 5
    ppg = SPEC.modalities.index(Modality.PPG)
    delay = [p.arrays["history"][ends, ppg, C["own_delay_s"]] for p in (plain, other)]
    later = float(np.nanmedian(delay[1] - delay[0]))
    assert -0.02 <= later <= LATER_S + 0.05
    maps = [p.arrays["pressures"][i][:, -1, 0] for p, i in ((plain, mine), (other, its))]
    shift = maps[1] - maps[0]
    assert np.nanstd(shift) < 1.5 and abs(float(np.nanmedian(shift))) < 11, "the offset of another transducer"
