"""A session seen from another process: what it is told becomes what a display asks, and silence shows."""

from __future__ import annotations

import pytest

from models.signals.errors import BadInput
from models.signals.modalities import Modality
from streams.records import BedChannel, BedRecord, CommandRecord, StatusRecord, WaveTick
from streams.remote import NO_BED, NO_WORKER, RemoteSession

S = 1_000_000_000


class Desk:
    def __init__(self, wanted: str = "") -> None:
        self.now_ns = 1000 * S
        self.sent: list[CommandRecord] = []
        self.away_s = 0.0
        self.session = RemoteSession(
            "desk", self.sent.append, wanted, "anna", away_s=lambda: self.away_s, monotonic_ns=lambda: self.now_ns
        )

    def bed(self, bed: str, session: str = "run", **options: object) -> None:
        channels = [BedChannel("ECG", "II", "mV", 500.0), BedChannel("ECG", "V5", "mV", 500.0, 1)]
        fields: dict[str, object] = {"title": f"case {bed}", "channels": channels, "seekable": True, "end_ns": 600 * S}
        self.session(BedRecord(bed=bed, session=session, epoch=0, **fields | options))  # type: ignore[arg-type]

    def says(self, bed: str, role: str, session: str = "run", **options: object) -> None:
        self.session(StatusRecord(bed=bed, session=session, epoch=0, role=role, **options))  # type: ignore[arg-type]


def test_before_anything_is_heard_it_waits() -> None:
    desk = Desk()
    status = desk.session.status()
    assert desk.session.beds == () and desk.session.bed == "" and desk.session.channels == ()
    assert status.preparing == NO_BED and not status.ended
    with pytest.raises(BadInput, match="a bed to order"):
        desk.session.pause()


def test_what_roles_say_is_what_is_asked() -> None:
    desk = Desk()
    for bed in ("10", "2", "b"):
        desk.bed(bed, gaps_s={"ECG": [(1.0, 2.0)]})
    assert desk.session.beds == ("2", "10", "b") and desk.session.bed == "2"
    desk.says("2", "source", position_s=7.5, speed=None, paused=True, dropped=["ABP"])
    assert desk.session.status().preparing == NO_WORKER
    desk.says("2", "worker", model="M 1", backend="onnx", service="", notes=["no GPU"], counts={"samples_lost": 3})
    status = desk.session.status()
    assert (status.position_s, status.duration_s, status.speed, status.paused) == (7.5, 600.0, None, True)
    assert (status.model, status.backend, status.samples_lost, status.notes) == ("M 1", "onnx", 3, ("no GPU",))
    assert status.dropped == {Modality.ABP} and status.preparing == "" and status.seekable
    assert [(c.label, c.lead) for c in desk.session.channels] == [("II", 0), ("V5", 1)], "every lead can have a row"
    assert desk.session.gaps_s == {Modality.ECG: ((1.0, 2.0),)} and desk.session.title == "case 2"


@pytest.mark.parametrize("silent", ["source", "worker"])
def test_a_role_that_falls_silent_shows(silent: str) -> None:
    desk = Desk()
    desk.bed("1")
    for role in ("source", "worker"):
        desk.says("1", role)
    began = desk.now_ns
    for _ in range(5):
        desk.now_ns += S
        desk.says("1", "worker" if silent == "source" else "source")
    assert desk.session.status().heartbeat_ns == began


def test_waves_that_stop_show_unless_it_stands_by_order() -> None:
    desk = Desk()
    desk.bed("1")
    desk.says("1", "source")
    desk.session(WaveTick(bed="1", session="run", epoch=0, tick_seq=0, start_ns=0, end_ns=S))
    ticked = desk.now_ns
    desk.now_ns += 9 * S
    desk.says("1", "source")
    assert desk.session.status().progress_ns == ticked
    desk.says("1", "source", paused=True)
    assert desk.session.status().progress_ns == desk.now_ns


def test_a_bed_that_is_played_anew_is_another_session() -> None:
    desk = Desk()
    desk.bed("1", "first")
    desk.says("1", "source", "first", position_s=99.0)
    desk.bed("1", "second", title="another")
    desk.says("1", "source", "first", position_s=100.0)
    assert desk.session.title == "another" and desk.session.status().preparing == NO_BED
    desk.says("1", "source", "second", position_s=1.0)
    assert desk.session.status().position_s == 1.0


def test_commands_go_to_the_bed_on_show_and_to_its_session() -> None:
    desk = Desk("b")
    desk.bed("a", "one")
    desk.bed("b", "two")
    desk.says("b", "source", "two", position_s=12.0)
    desk.session.seek(30.0)
    desk.session.show("a")
    desk.session.set_dropped(Modality.PPG, True)
    assert [(c.bed, c.session, c.name, c.args) for c in desk.sent] == [
        ("b", "two", "seek", {"time_s": 30.0}), ("a", "one", "drop", {"modality": "PPG"}),
    ]  # fmt: skip
    assert desk.sent[0].time_ns == 12 * S and len({c.id for c in desk.sent}) == 2
    assert all(c.id.startswith("desk-") and c.operator == "anna" for c in desk.sent), "two desks never share a number"
    with pytest.raises(BadInput, match="one of the beds a, b"):
        desk.session.show("c")
    assert desk.session.bed == "a"


def test_a_device_has_no_end() -> None:
    desk = Desk()
    desk.bed("1", seekable=False, end_ns=None)
    desk.says("1", "source", position_s=42.0)
    status = desk.session.status()
    assert not status.seekable and status.duration_s == 42.0


def test_while_the_broker_is_away_nothing_is_ordered_that_would_be_done_minutes_later() -> None:
    desk = Desk()
    desk.bed("1")
    desk.says("1", "source", notes=["9 ticks of devices wait on disk for the broker (0.1 MB)."])
    assert desk.session.status().broker_away_s == 0 and "wait on disk" in desk.session.status().source_notes[0]
    desk.away_s = 6.4
    assert desk.session.status().broker_away_s == 6.4
    with pytest.raises(BadInput, match="none that has answered for 6 s"):
        desk.session.pause()
    assert not desk.sent
