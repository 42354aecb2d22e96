"""From the words of a command to beds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.signals.errors import BadInput
from monitor.settings import RunSettings, parse_broker, parse_prefix
from monitor.sources import MAX_BEDS, beds, called, driver_of, expanded, is_live
from streams.sources.planned import PlannedSource
from streams.sources.replay import ReplaySource


def test_a_folder_is_every_recording_in_it(tmp_path: Path) -> None:
    for name in ("b.vital", "a.edf", "deep/c.hea", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = expanded(["demo", str(tmp_path)])
    assert found == ["demo", *(str(tmp_path / name) for name in ("a.edf", "b.vital", "deep/c.hea"))]
    assert called(["demo", str(tmp_path / "a.edf")]) == "demo, a.edf"


def test_too_many_and_none_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"1 to {MAX_BEDS} sources"):
        expanded(["demo"] * (MAX_BEDS + 1))
    with pytest.raises(BadInput, match="files that end in"):
        expanded([str(tmp_path)])


def test_beds_are_numbered_and_devices_are_live() -> None:
    made = beds(RunSettings(sources=("demo", "lsl:name=Amp", "demo:seed=2"), for_s=10.0))
    assert list(made) == ["1", "2", "3"]
    kinds = [type(make(bed, "run")) for bed, make in made.items()]
    assert kinds == [ReplaySource, PlannedSource, ReplaySource]
    assert is_live(["demo", "lsl:"]) and not is_live(["demo:seed=3", "vitaldb:1", "C:/x.vital"])
    assert driver_of("nosuch:thing") is None


@pytest.mark.parametrize("options", [{"speed": None}, {"speed": 2.0}, {"from_s": 30.0}])
def test_a_device_is_now_and_in_real_time(options: dict[str, float | None]) -> None:
    with pytest.raises(BadInput, match="real time from now on"):
        beds(RunSettings(sources=("lsl:",), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["kafka://localhost:9092", "kafka://10.0.0.1:1", "embedded://ward", "kafka://host"])
def test_brokers(text: str) -> None:
    assert parse_broker(text) == text


@pytest.mark.parametrize("text", ["", "localhost:9092", "http://x:1", "kafka://", "kafka://a b", "embedded://a/b"])
def test_what_is_no_broker_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="a broker like"):
        parse_broker(text)


def test_prefixes() -> None:
    assert parse_prefix("ward-7.") == "ward-7."
    with pytest.raises(BadInput, match="--prefix"):
        parse_prefix("ward 7")


def test_beds_may_be_named() -> None:
    assert list(beds(RunSettings(sources=("demo", "demo:seed=2"), names=("ICU-7", "ICU-8")))) == ["ICU-7", "ICU-8"]


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", ""), ("a", "b", "c"), ("a", "x" * 200)])
def test_names_that_do_not_fit_are_one_sentence(names: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="2 different names of 1 to 128 characters in --bed"):
        beds(RunSettings(sources=("demo", "demo:seed=2"), names=names))


def test_recordings_are_opened_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a thread of its own, and none while another loads its libraries."""
    inside, most = [0], [0]

    def slowly(source: str) -> object:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        inside[0] -= 1
        raise BadInput("a recording", source, "none here")

    monkeypatch.setattr("models.signals.readers.opener.open_recording", slowly)
    made = beds(RunSettings(sources=("demo",) * 6))
    sources = [make(bed, "run") for bed, make in made.items()]

    def describe(source: object) -> None:
        with pytest.raises(BadInput, match="a recording"):
            source.describe()  # type: ignore[attr-defined]

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(describe, sources))
    assert most == [1]
