"""LabStreamingLayer against real outlets in processes of their own, on this machine: every sample is accounted for."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.signals.errors import BadInput
from streams.records import BedRecord, WaveTick
from streams.sources.live import LiveSource
from streams.sources.lsl import LslDevice, StreamSaid, _channels, _described, lsl_criteria, lsl_streams
from tests.sources.live.accounts import Account, account, check_grid
from tests.sources.live.device_conformance import DeviceConformance, Rig

pytest.importorskip("pylsl", reason="pylsl is not installed (extra lsl)", exc_type=ImportError)
PATIENCE_S = 30.0


class Outlet:
    """``outlet.py`` in a process of its own; ``end`` gives what it pushed while somebody listened."""

    def __init__(self, **options: object) -> None:
        self.zero_s = float(options.setdefault("zero_s", time.monotonic()))  # type: ignore[arg-type]
        script = str(Path(__file__).with_name("outlet.py"))
        self._process = subprocess.Popen(
            [sys.executable, script, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ready(self) -> Outlet:
        """Wait until it is there."""
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"
        return self

    def end(self) -> list[list[int]]:
        out, _ = self._process.communicate(timeout=PATIENCE_S)
        return json.loads(out)

    def step(self, seconds: float) -> None:
        """Its clock jumps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=PATIENCE_S)

    def __enter__(self) -> Outlet:
        return self.ready()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Listener:
    """A live source in its thread, and the ticks it has given."""

    def __init__(self, spec: str = "lsl:") -> None:
        self.source = LiveSource(LslDevice(spec, look_s=0.7), "bed", "s")
        self.bed: BedRecord = self.source.describe()
        self.ticks: list[WaveTick] = []
        self.late_ns: list[int] = []
        self._changed = threading.Condition()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.source.run(self._emit)
        except BaseException as error:  # noqa: BLE001
            self._failed.append(error)  # told by `until`

    def _emit(self, tick: WaveTick) -> bool:
        with self._changed:
            self.ticks.append(tick)
            self.late_ns.append(time.monotonic_ns() - tick.due_ns)
            self._changed.notify_all()
        return True

    def until(self, met: Callable[[list[WaveTick]], object]) -> None:
        """Wait for what ticks show."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self._failed or met(self.ticks)), PATIENCE_S), "nothing came"
        assert not self._failed, self._failed

    def samples(self, count: int, modality: str = "ECG") -> Account:
        """Wait until so many samples of a modality are there."""
        self.until(lambda _: sum(n for (m, _), n in self.source.emitted().items() if m == modality) >= count)
        return account(self.ticks, modality)

    def stop(self) -> None:
        begin = time.monotonic()
        self.source.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.stopped_in_s = time.monotonic() - begin
        check_grid(self.ticks)


@contextmanager
def listening(spec: str = "lsl:") -> Iterator[Listener]:
    listener = Listener(spec)
    try:
        yield listener
    finally:
        listener.stop()


def test_every_sample_arrives_once_with_labels_units_and_time() -> None:
    with Outlet(labels=("II", "ART", "x"), units=("uV", "kPa", "V"), jitter_s=0.02, drift=200e-6) as outlet:
        with listening() as listener:
            ecg = listener.samples(1000)
            abp = account(listener.ticks, "ABP")
            latency = np.median(listener.late_ns[10:]) * 1e-9
        assert [(c.modality, c.label, c.unit, c.rate_hz) for c in listener.bed.channels] == [
            ("ECG", "II", "mV", 500.0),
            ("ABP", "ART", "mmHg", 500.0),
        ]
        pushed = outlet.end()
    count = np.rint(ecg.values * 1e3)
    np.testing.assert_array_equal(np.diff(count), 1)
    assert pushed[0][0] <= count[0] < pushed[0][0] + 2000 and count[-1] <= pushed[0][1]
    np.testing.assert_allclose(abp.values[:600], count[:600] * 7.500617, rtol=1e-5)
    zero_s = (listener.ticks[0].due_ns - listener.ticks[0].end_ns) * 1e-9
    true_s = outlet.zero_s + count / 500.0 * (1 + 200e-6) - zero_s
    assert np.abs(ecg.times - true_s).max() < 0.03
    assert latency < 1.0
    assert listener.source.counts()["gaps"] == 0
    assert [name for name, _ in listener.source.left_out] == ["Amp/x"]


@pytest.mark.parametrize("source_id", (pytest.param("amp-1", marks=pytest.mark.slow), ""))
def test_a_stream_that_is_lost_and_made_anew_is_a_gap(source_id: str) -> None:
    """With a source id liblsl finds it again, without one we do."""
    first = Outlet(source_id=source_id).ready()
    with listening() as listener:
        before = listener.samples(500)
        first.kill()
        newest = listener.ticks[-1].tick_seq
        listener.until(
            lambda ticks: ticks and ticks[-1].tick_seq > newest + 10 and not any(c.data for c in ticks[-1].chunks)
        )
        with Outlet(zero_s=first.zero_s, source_id=source_id) as again:
            ecg = listener.samples(len(account(listener.ticks, "ECG").values) + 500)
            pushed = again.end()
    steps = np.diff(ecg.values)
    assert (steps >= 1).all() and np.count_nonzero(steps > 1) == 1
    gap = int(np.argmax(steps))
    assert ecg.values[gap + 1] >= pushed[0][0] and gap >= len(before.values) - 1
    np.testing.assert_array_equal(ecg.indices - ecg.values, ecg.indices[0] - ecg.values[0])  # as wide as it was
    assert listener.source.counts()["gaps"] == 1 and {t.epoch for t in listener.ticks} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("by", (200_000.0, -200_000.0))
def test_a_clock_jump_is_an_epoch_without_a_loss(by: float) -> None:
    with Outlet(jitter_s=0.02) as outlet, listening() as listener:
        listener.samples(300)
        outlet.step(by)
        listener.until(lambda ticks: ticks and ticks[-1].epoch == 1 and ticks[-1].tick_seq > 10)
        ecg = account(listener.ticks, "ECG")
    np.testing.assert_array_equal(np.diff(ecg.values), 1)
    assert set(ecg.epochs) == {0.0, 1.0}
    assert (np.diff(ecg.times) > 0).all() and np.diff(ecg.times).max() < 0.5


def test_streams_are_chosen_listed_and_refused() -> None:
    outlets = [
        Outlet(name="Alice", source_id="a"),
        Outlet(name="Bob", source_id="b"),
        Outlet(name="Finger", type="PPG", labels=("whatever",), rate=125.0, source_id="f", format="int16"),
        Outlet(name="Marks", type="Markers", format="string", rate=0.0, chunk=1, source_id="m"),
        Outlet(name="Wild", type="PPG", rate=0.0, chunk=1, source_id="w"),
    ]
    with ExitStack() as stack:
        for outlet in outlets:
            stack.enter_context(outlet)
        assert [s.name for s in lsl_streams(0.8)] == ["Alice", "Bob", "Finger", "Marks", "Wild"]
        with pytest.raises(BadInput, match=r"one LSL stream with ECG, found name=Alice .*name=Bob .*lsl:name=Alice"):
            LslDevice(look_s=0.7).open(5.0)
        device = LslDevice("lsl:name=Alice, type=ECG,source_id=a", look_s=0.7)
        assert [c.name for c in device.open(5.0)] == ["Alice/II"]
        device.close()
        with pytest.raises(BadInput, match=r"name='Carol', found name=Alice.*no regular rate"):
            LslDevice("lsl:name=Carol", look_s=0.7).open(5.0)
        finger = LslDevice("lsl:type=PPG", look_s=0.7)
        channels = finger.open(5.0)
        assert [(c.name, c.declared) for c in channels] == [("Finger/whatever", "PPG")]
        assert [(said.name, why) for said, why in finger.ignored] == [("Wild", "it has no regular rate")]
        finger.close()


def test_no_stream_at_all_is_a_sentence() -> None:
    with pytest.raises(BadInput, match="found no LSL stream on this network; is it switched on"):
        LslDevice(look_s=0.2).open(1.0)


def test_criteria() -> None:
    assert lsl_criteria("lsl:") == {}
    assert lsl_criteria("lsl:name=My Amp, hostname=or-3") == {"name": "My Amp", "hostname": "or-3"}
    for wrong in ("lsl:name", "lsl:nmae=x", "lsl:name=", "lsl:name=a,name=b"):
        with pytest.raises(BadInput, match="lsl:name=…"):
            lsl_criteria(wrong)
    with pytest.raises(BadInput, match="did you mean name=…"):
        lsl_criteria("lsl:nmae=x")


def test_a_description_is_taken_as_far_as_it_goes() -> None:
    said = StreamSaid("A/b", "EEG", "", "h", 250.0, 3, True)
    xml = (
        "<info><desc><channels><channel><label>E17</label><unit>microvolts</unit></channel>"
        "<channel><label>II</label><type>ECG</type></channel></channels></desc></info>"
    )
    found = _channels(said, xml, set())
    assert [(c.name, c.unit, c.declared) for c in found] == [
        ("A-b/E17", "microvolts", "EEG"),
        ("A-b/II", "", "ECG"),
        ("A-b/EEG 3", "", "EEG"),
    ]
    assert [c.name for c in _channels(said, "", {"A-b/EEG 1"})] == ["A-b/EEG 1 (2)", "A-b/EEG 2", "A-b/EEG 3"]
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><info><desc><channels>'
        "<channel><label>&a;</label></channel></channels></desc></info>"
    )
    assert _described(bomb) == _described("<info") == _described("<info/>") == []


def test_without_pylsl_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError("No module named 'pylsl'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BadInput, match=r"pylsl for LabStreamingLayer.*pip install -e '.\[lsl\]' in Vigil's folder"):
        LslDevice().open(1.0)


@pytest.fixture(scope="module")
def outlets() -> Iterator[list[Outlet]]:
    outlets: list[Outlet] = []
    yield outlets
    for outlet in outlets:
        outlet.kill()


@pytest.mark.slow
class TestLslDevice(DeviceConformance):
    """The outlet is made anew only where the test before has made it go away."""

    @pytest.fixture
    def rig(self, outlets: list[Outlet]) -> Iterator[Rig]:
        if not outlets:
            outlets.append(Outlet(name="Rig", labels=("II", "PLETH"), units=("mV", ""), source_id="rig").ready())
        yield Rig(
            LslDevice("lsl:name=Rig", look_s=0.3),
            now_s=time.monotonic,
            listen_s=0.3,
            vanish=lambda: outlets.pop().kill(),
        )
