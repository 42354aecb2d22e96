"""IEEE 11073 SDC against the library's provider in a process of its own, over TLS: every sample is accounted for."""

from __future__ import annotations

import importlib
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.signals.errors import BadInput
from streams.records import DeviceNumber
from streams.sources.device import AnotherPatient, Block, DeviceLost, DeviceValue
from streams.sources.live import LiveSource
from streams.sources.sdc import SdcDevice, Wanted, sdc_devices, sdc_wanted
from streams.sources.sdc_link import Link, load_sdc, tls_contexts
from tests.sources.live.accounts import account
from tests.sources.live.device_conformance import DeviceConformance, Rig
from tests.sources.live.sdc_rig import PATIENCE_S, PORT, Bed, Provider, authority

pytest.importorskip("sdc11073", reason="sdc11073 is not installed (extra sdc)", exc_type=ImportError)

LOOK_S = 1.5


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("sdc"), "authority")


@pytest.fixture(scope="module")
def provider(certs: Path) -> Iterator[Provider]:
    """One device for all tests that leave it as it was."""
    with Provider(certs=str(certs)) as provider:
        yield provider


def device_of(spec: str, **options: float) -> SdcDevice:
    return SdcDevice(spec + ",adapter=127.0.0.1", look_s=LOOK_S, port=PORT, **options)


class Reader:
    """A device that is open, and what it has sent by channel."""

    def __init__(self, device: SdcDevice) -> None:
        self.device = device
        self.channels = {c.name: c for c in device.open(10.0)}
        self.blocks: list[Block] = []
        self.numbers: list[DeviceValue] = []

    def until(self, met: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not met():
            assert time.monotonic() < end, "nothing came"
            for came in self.device.read(0.05):
                (self.blocks if isinstance(came, Block) else self.numbers).append(came)

    def values(self, name: str) -> np.ndarray:
        return np.concatenate([np.empty(0), *(b.values for b in self.blocks if b.channel == name)])

    def more(self, count: int, name: str = "ecg/ECG_II") -> np.ndarray:
        """The next ``count`` samples, or some more."""
        already = len(self.values(name))
        self.until(lambda: len(self.values(name)) >= already + count)
        return self.values(name)[already:]

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.device.close()


def test_every_sample_arrives_once_with_code_unit_and_time(provider: Provider, certs: Path) -> None:
    with Reader(SdcDevice(f"sdc:address={provider.address},cert={certs}")) as reader:
        reader.more(600)
    assert [(c.name, c.unit, c.rate_hz, c.declared) for c in reader.channels.values()] == [
        ("ecg/ECG_II", "mV", 500.0, "ECG"),
        ("art/ART", "mmHg", 125.0, "ABP"),
        ("pleth/PLETH", "1", 125.0, "PPG"),
        ("wedge/wedge", "mmHg", 125.0, "other"),
    ]
    for name, channel in reader.channels.items():
        np.testing.assert_array_equal(np.diff(reader.values(name)), 1)
        for block in (b for b in reader.blocks if b.channel == name):
            assert block.stamps_s is not None
            taken_s = provider.zero_s + float(block.values[-1]) / channel.rate_hz
            assert abs(block.stamps_s[0] - taken_s) < 0.002  # stamps are in milliseconds


def test_it_is_found_and_is_a_bed(provider: Provider, certs: Path) -> None:
    with Bed(device_of(f"sdc:cert={certs}")) as bed:
        ecg = bed.samples(700)
    assert [(c.modality, c.label, c.unit, c.rate_hz) for c in bed.record.channels] == [
        ("ECG", "ECG_II", "mV", 500.0),
        ("ABP", "ART", "mmHg", 125.0),
        ("PPG", "PLETH", "au", 125.0),
    ]
    np.testing.assert_array_equal(np.diff(ecg.values), 1)
    assert bed.source.counts()["gaps"] == 0
    assert [name for name, _ in bed.source.left_out] == ["wedge/wedge"]


def test_what_the_device_says_is_no_measurement_is_nan_and_what_is_off_is_a_gap(
    provider: Provider, certs: Path
) -> None:
    with Reader(SdcDevice(f"sdc:address={provider.address},cert={certs}")) as reader:
        reader.more(100)
        provider.tell("annotate 3 artefact", "annotate 5 R peak")
        reader.until(lambda: np.isnan(reader.values("ecg/ECG_II")).any())
        reader.more(100)
        ecg = reader.values("ecg/ECG_II")
        (spoilt,) = np.flatnonzero(np.isnan(ecg))
        assert ecg[spoilt - 1] + 2 == ecg[spoilt + 1]
        provider.tell("validity Inv")
        reader.until(lambda: np.isnan(reader.values("art/ART")[-20:]).all())
        provider.tell("validity Qst")
        reader.until(lambda: np.isfinite(reader.values("art/ART")[-10:]).all())
        provider.tell("validity Vld", "off ecg")
        reader.more(50, "art/ART")
        before = len(reader.values("ecg/ECG_II"))
        reader.more(50, "art/ART")
        assert len(reader.values("ecg/ECG_II")) == before
        provider.tell("on ecg")
        after = reader.more(50)
    assert after[0] > reader.values("ecg/ECG_II")[before - 1] + 100
    np.testing.assert_array_equal(np.diff(after), 1)


def told(bed: Bed, name: str) -> list[DeviceNumber]:
    return list(dict.fromkeys(number for tick in bed.ticks for number in tick.numbers if number.name == name))


def test_numbers_come_with_unit_validity_and_age_also_those_of_before_it_was_connected(certs: Path) -> None:
    with Provider(certs=str(certs), port=PORT + 8) as provider:
        provider.tell("number sys 121 Vld 240", "number dia 78 Vld -", "number hr 80 Vld 0")
        with Bed(SdcDevice(f"sdc:address={provider.address},cert={certs}")) as bed:
            bed.until(lambda: told(bed, "nibp_sys"))
            provider.tell("number spo2 97 Vld 0", "number temp 98.6 Vld 0")
            bed.until(lambda: told(bed, "spo2") and told(bed, "temp_c"))
            provider.tell("number spo2 88 Inv 0")
            bed.until(lambda: told(bed, "spo2")[-1].value is None)
            provider.tell("number spo2 96 Vldated -")
            bed.until(lambda: told(bed, "spo2")[-1].value == 96.0)
    (cuff,) = told(bed, "nibp_sys")
    assert cuff.value == 121.0 and cuff.since_ns is not None
    assert cuff.time_ns - cuff.since_ns == pytest.approx(240e9, abs=20e9)  # of when it was started
    assert told(bed, "nibp_dia") == [], "nobody knows when"
    assert [number.value for number in told(bed, "spo2")] == [97.0, None, 96.0]
    assert [number.since_ns is None for number in told(bed, "spo2")] == [False, True, True]
    assert [number.value for number in told(bed, "temp_c")] == [pytest.approx(37.0)]
    assert {number.name for tick in bed.ticks for number in tick.numbers} == {"nibp_sys", "spo2", "temp_c"}


def test_a_report_that_is_older_than_the_last_one_says_nothing_any_more(certs: Path) -> None:
    with Provider(certs=str(certs), port=PORT + 9) as provider:
        library, contexts = load_sdc(), tls_contexts(load_sdc(), str(certs))
        link = Link(library, provider.address, contexts)
        reports: list[Any] = []

        def keep(report: Any) -> None:  # the library holds it weakly
            reports.append(report)

        library.observe.bind(link._consumer, episodic_metric_report=keep)
        came: list[Block | DeviceValue] = []

        def until(value: float | None) -> None:
            end = time.monotonic() + PATIENCE_S
            while not [said for said in came if isinstance(said, DeviceValue) and said.value == value]:
                assert time.monotonic() < end, "nothing came"
                came.extend(link.read(0.05))

        link.begin()
        provider.tell("number spo2 97 Vld -")
        until(97.0)
        provider.tell("number spo2 97 Inv -")
        until(None)
        link._on_metrics(reports[0])
        assert [said for said in link.read(0.0) if isinstance(said, DeviceValue)] == []
        provider.tell("number spo2 96 Vld -")
        until(96.0)
        link.begin()
        assert [said for said in link.read(0.0) if isinstance(said, DeviceValue)] == [], "who knows since when"
        link.close()


def test_another_patient_is_said_and_a_session_of_its_own(provider: Provider, certs: Path) -> None:
    with Bed(SdcDevice(f"sdc:address={provider.address},cert={certs}")) as bed:
        before = bed.samples(300)
        provider.tell("patient")
        bed.until(lambda: bed.source.counts()["patients"])
        after = bed.samples(len(account(bed.ticks, "ECG").values) + 300)
    assert list(dict.fromkeys((t.session, t.epoch) for t in bed.ticks)) == [("s", 0), ("s+2", 1)]
    assert (before.epochs == 0).all() and after.epochs[-1] == 1
    assert (np.diff(after.values) >= 1).all(), "each sample in one session only"
    assert np.diff(after.values)[np.flatnonzero(np.diff(after.epochs))] > 1, "what came in between is nobody's"


def test_another_patient_who_came_while_it_was_not_connected_is_said_once(provider: Provider, certs: Path) -> None:
    device = SdcDevice(f"sdc:address={provider.address},cert={certs}")
    device.open(10.0)
    device.close()
    device.open(10.0)
    device.close()
    provider.tell("patient")
    with pytest.raises(AnotherPatient, match="has another patient than before it was lost"):
        device.open(10.0)
    device.close()
    with Reader(device) as reader:
        reader.more(50)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "says"),
    (
        ("describe", "has changed what it sends"),
        ("end", "has ended the subscription"),
        ("stall", "No wave for 2 s"),
    ),
)
def test_another_description_the_end_and_silence_are_a_lost_device(certs: Path, command: str, says: str) -> None:
    with (
        Provider(certs=str(certs), port=PORT + 6) as provider,
        Reader(SdcDevice(f"sdc:address={provider.address},cert={certs}", silent_s=2.0)) as reader,
    ):
        reader.more(50)
        provider.tell(command)
        for _ in range(2):
            with pytest.raises(DeviceLost, match=says):
                reader.until(lambda: False)


@pytest.mark.slow
def test_a_device_that_is_killed_and_started_again_is_lost_and_found_again(certs: Path) -> None:
    """At another address, so it is looked for. Another device that is there meanwhile is not taken for it."""
    port = PORT + 7
    first = Provider(certs=str(certs), port=port).ready()
    device = SdcDevice(f"sdc:adapter=127.0.0.1,cert={certs}", look_s=LOOK_S, silent_s=2.0, port=port)
    with Bed(device) as bed:
        before = bed.samples(500)
        first.kill()
        bed.until(lambda: bed.source.lost)
        with (
            Provider(certs=str(certs), port=port, epr="urn:uuid:00000000-0000-0000-0000-00000000000b"),
            Provider(zero_s=first.zero_s, certs=str(certs), port=port) as again,
        ):
            ecg = bed.samples(len(account(bed.ticks, "ECG").values) + 500)
            assert again.address != first.address
    steps = np.diff(ecg.values)
    assert (steps >= 1).all() and np.count_nonzero(steps > 1) == 1
    assert int(np.argmax(steps)) >= len(before.values) - 1
    np.testing.assert_array_equal(ecg.indices - ecg.values, ecg.indices[0] - ecg.values[0])  # as wide as it was
    assert bed.source.counts()["losses"] == 1


def test_wrong_certificates_and_plain_text_are_a_sentence(provider: Provider, certs: Path, tmp_path: Path) -> None:
    other = authority(tmp_path, "other")
    where = f"sdc:address={provider.address}"
    with pytest.raises(BadInput, match=r"accepts this machine's certificate .* found .*certificate verify failed"):
        SdcDevice(f"{where},cert={other}").open(10.0)
    # Ours trusts the device, but the device does not trust ours.
    shutil.copy(certs / "cacert.pem", other / "cacert.pem")
    with pytest.raises(BadInput, match=r"accepts this machine's certificate .*(unknown ca|EOF|reset|pipe)"):
        SdcDevice(f"{where},cert={other}").open(10.0)
    with pytest.raises(BadInput, match=r"Expected sdc:cert=FOLDER .*or sdc:tls=off for plain text, found neither"):
        SdcDevice(where).open(10.0)
    with pytest.raises(BadInput, match=r"plain text, since sdc:tls=off is given, found the address https"):
        SdcDevice(f"{where},tls=off")
    with pytest.raises(BadInput, match=r"no userkey.pem, usercert.pem, cacert.pem in .*; put them there"):
        SdcDevice(f"{where},cert={tmp_path}").open(10.0)
    subprocess.run(
        ["openssl", "ec", "-in", "userkey.pem", "-aes128", "-passout", "pass:x", "-out", "locked.pem"],
        cwd=other,
        check=True,
        capture_output=True,
    )
    (other / "locked.pem").replace(other / "userkey.pem")
    with pytest.raises(BadInput, match="a key without a password"):
        SdcDevice(f"{where},cert={other}").open(10.0)
    (other / "userkey.pem").write_text("no key")
    with pytest.raises(BadInput, match="which cannot be used"):
        SdcDevice(f"{where},cert={other}").open(10.0)


@pytest.mark.slow
def test_plain_text_is_taken_where_it_is_asked_for() -> None:
    with Provider(epr="urn:uuid:00000000-0000-0000-0000-00000000000c", port=PORT + 1) as provider:
        with Reader(SdcDevice(f"sdc:address={provider.address},tls=off")) as reader:
            np.testing.assert_array_equal(np.diff(reader.more(200)), 1)
        with pytest.raises(BadInput, match="TLS, since sdc:cert is given, found the plain address"):
            SdcDevice(f"sdc:address={provider.address},cert=/somewhere")


def test_nobody_there_and_the_wrong_one_are_a_sentence_with_what_was_found(provider: Provider, certs: Path) -> None:
    with pytest.raises(BadInput, match=r"epr=urn:uuid:00000000-.*0a \(at https://127.0.0.1:.*\); name one of these"):
        device_of(f"sdc:epr=urn:uuid:1,cert={certs}").open(10.0)
    with pytest.raises(BadInput, match=r"found none that answers on this network; is it switched on"):
        SdcDevice("sdc:adapter=127.0.0.1,tls=off", look_s=0.3, port=PORT + 2).open(10.0)
    with pytest.raises(BadInput, match=r"the SDC device urn:uuid:1, found epr=urn:uuid:00000000-"):
        SdcDevice(f"sdc:address={provider.address},epr=urn:uuid:1,cert={certs}").open(10.0)
    with pytest.raises(BadInput, match=r"adapter=IP, an address of this machine.*it has 127.0.0.1"):
        SdcDevice("sdc:adapter=10.255.255.1,tls=off").open(10.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = SdcDevice(f"sdc:address=http://127.0.0.1:{nobody.getsockname()[1]}/x,tls=off")
        with pytest.raises(DeviceLost, match=r"does not answer as an SDC device does: .*refused"):
            gone.open(10.0)
        with pytest.raises(BadInput, match=r"Expected the device 'SDC http://127.* to answer"):
            LiveSource(gone, "bed", "s").describe()


@pytest.mark.slow
def test_two_devices_and_two_patients_are_refused_and_named(certs: Path) -> None:
    port = PORT + 3
    with ExitStack() as stack:
        for number in (1, 2):
            epr = f"urn:uuid:00000000-0000-0000-0000-00000000000{number}"
            stack.enter_context(Provider(certs=str(certs), epr=epr, port=port, beds=number, mode="Demo"))
        assert len(sdc_devices(LOOK_S, "127.0.0.1", port)) == 2
        options = f"adapter=127.0.0.1,cert={certs}"
        with pytest.raises(BadInput, match=r"one SDC device, found epr=.*01 .*epr=.*02 .*such as sdc:epr=urn:uuid:"):
            SdcDevice(f"sdc:{options}", look_s=LOOK_S, port=port).open(10.0)
        second = f"sdc:{options},epr=00000000-0000-0000-0000-000000000002"
        with pytest.raises(BadInput, match=r"one Mds with waves, found mds, mds-1; name one, such as sdc:mds=mds"):
            SdcDevice(second, look_s=LOOK_S, port=port).open(10.0)
        with Reader(SdcDevice(f"{second},mds=mds-1", look_s=LOOK_S, port=port)) as reader:
            assert next(iter(reader.channels)) == "ecg-1/ECG_II"
            assert np.isnan(reader.more(50, "ecg-1/ECG_II")).all(), "a demonstration is no patient's"
        with Reader(SdcDevice(f"{second},mds=mds-1,demo=on", look_s=LOOK_S, port=port)) as reader:
            assert np.isfinite(reader.more(50, "ecg-1/ECG_II")).all()


def test_words_of_a_source() -> None:
    assert sdc_wanted("sdc:") == Wanted()
    assert sdc_wanted("sdc:epr=urn:uuid:1, cert=/x") == Wanted(epr="urn:uuid:1", cert="/x")
    for wrong in ("sdc:epr", "sdc:x=1", "sdc:epr=", "sdc:epr=a,epr=b"):
        with pytest.raises(BadInput, match="sdc:epr=…"):
            sdc_wanted(wrong)
    with pytest.raises(BadInput, match="did you mean address=…"):
        sdc_wanted("sdc:adress=x")
    for wrong in ("sdc:address=host", "sdc:tls=on", "sdc:demo=off", "sdc:cert=x,tls=off", "sdc:adapter=eth0"):
        with pytest.raises(BadInput):
            sdc_wanted(wrong)


def test_connecting_goes_on_between_two_calls(provider: Provider, certs: Path) -> None:
    device = SdcDevice(f"sdc:address={provider.address},cert={certs}")
    with pytest.raises(DeviceLost, match="has not answered yet"):
        device.open(0.0)
    device.close()
    assert device.open(10.0)[0].name == "ecg/ECG_II"
    device.close()
    with pytest.raises(DeviceLost, match="is not open"):
        device.read(0.0)


def test_without_sdc11073_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError("No module named 'sdc11073'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BadInput, match=r"sdc11073 for IEEE 11073 SDC.*pip install -e '.\[sdc\]' in Vigil's folder"):
        SdcDevice("sdc:tls=off").open(1.0)


def test_what_the_library_complains_of_is_told_once_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    load_sdc()
    with caplog.at_level(logging.DEBUG, "vigil.sdc"):
        logging.getLogger("sdc.client").error("could not\nsubscribe")
    assert ("vigil.sdc", "DEBUG") in [(r.name, r.levelname) for r in caplog.records]
    assert not logging.getLogger("sdc").propagate


@pytest.fixture(scope="module")
def providers() -> Iterator[list[Provider]]:
    providers: list[Provider] = []
    yield providers
    for provider in providers:
        provider.kill()


@pytest.mark.slow
class TestSdcDevice(DeviceConformance):
    """The provider is made anew only where the test before has made it go away."""

    @pytest.fixture
    def rig(self, providers: list[Provider], certs: Path) -> Iterator[Rig]:
        if not providers:
            providers.append(Provider(certs=str(certs), port=PORT + 5).ready())
        yield Rig(
            SdcDevice(f"sdc:address={providers[0].address},cert={certs}"),
            now_s=time.monotonic,
            listen_s=0.6,
            vanish=lambda: providers.pop().kill(),
            admit=lambda: providers[0].tell("patient"),
        )
