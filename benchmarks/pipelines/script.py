"""What every pipeline is given: ticks of built-in patients, made before anything is timed, each due at a fixed time.

Channels are ECG at 500 Hz, ABP and PPG at 125, EEG at 128; a tick is 50 ms of them, as Vigil's own sources cut it. From
nine beds on they lag behind one another as in a replay, so that not all close a second at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from models.signals.channels import map_channels
from models.signals.modalities import MODEL_MODALITIES
from models.signals.readers.opener import open_recording
from models.signals.times import SECOND_NS
from streams.records import BedChannel, BedRecord, WaveTick
from streams.sources.bed_replay import BedReplay
from streams.sources.player import TICK_NS
from streams.sources.replay import lags_ns

SESSION = "pipelines"
TICKS_S = SECOND_NS // TICK_NS


@dataclass(frozen=True, slots=True)
class Cue:
    """A tick, and when it is due: so long after the beginning."""

    after_ns: int
    tick: WaveTick

    def due(self, begin_ns: int) -> WaveTick:
        """The tick as a source sends it, where the beginning was at ``begin_ns`` of the monotonic clock."""
        return replace(self.tick, due_ns=begin_ns + self.after_ns)


def bed_names(beds: int) -> list[str]:
    """Words that every framework takes as the name of a port or a key."""
    return [f"bed{number}" for number in range(1, beds + 1)]


def described(bed: str, session: str = SESSION) -> BedRecord:
    """What a source would say of such a bed."""
    channels = map_channels(open_recording("demo:duration=60"))
    try:
        listed = [
            BedChannel(m.value, c.label, c.unit, c.rate_hz, c.lead) for m in MODEL_MODALITIES for c in channels.leads[m]
        ]
    finally:
        channels.recording.close()
    return BedRecord(bed=bed, session=session, epoch=0, title="built-in patient", channels=listed)


def ticks_of(bed: str, seed: int, seconds: int, session: str = SESSION) -> list[WaveTick]:
    """The first ``seconds`` of the built-in patient ``seed``, without due times."""
    channels = map_channels(open_recording(f"demo:seed={seed},duration={max(60, seconds + 1)}"))
    try:
        replay = BedReplay(bed, session, channels, seconds * SECOND_NS)
        found: list[WaveTick] = []
        for second in range(seconds):
            segments = replay.decode(second * SECOND_NS, (second + 1) * SECOND_NS)
            for start_ns in range(second * SECOND_NS, (second + 1) * SECOND_NS, TICK_NS):
                end_ns = start_ns + TICK_NS
                wanted = [c for c in replay.chunks(segments, start_ns, end_ns) if c.modality in MODEL_MODALITIES]
                found.append(
                    WaveTick(
                        bed=bed, session=session, epoch=0, tick_seq=len(found), start_ns=start_ns, end_ns=end_ns,
                        chunks=wanted,
                    )
                )  # fmt: skip
    finally:
        channels.recording.close()
    return found


def script(beds: int, seconds: int, session: str = SESSION, only: str = "") -> list[Cue]:
    """The ticks of all beds in the order in which they are due: each when its last sample is. only: of one bed."""
    cues = [
        Cue(tick.end_ns + lag_ns, tick)
        for number, (bed, lag_ns) in enumerate(zip(bed_names(beds), lags_ns(beds, TICK_NS), strict=True), 1)
        if only in ("", bed)
        for tick in ticks_of(bed, number, seconds, session)
    ]
    return sorted(cues, key=lambda cue: cue.after_ns)
