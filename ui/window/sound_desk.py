"""What should be heard, told to the player once a frame; and what the operator does to it. No Qt.

Its actions are found by name, as the operator's are (:mod:`ui.panels.shortcuts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ui.bed.alarm_view import NO_CIRCULATION
from ui.bed.audible import audible_level, why_silent
from ui.bed.bedside import Bedside
from ui.bed.liveness import Life
from ui.bed.ward import Ward
from ui.sound.beat_clock import BeatClock, in_real_time, source_words
from ui.sound.choice import SoundChoice
from ui.sound.figures import default_figures
from ui.sound.keeper import Keeper
from ui.sound.output import OpenOutput
from ui.sound.player import Player, Wanted
from ui.sound.sign import SoundWords, sound_words
from ui.sound.tones import beat_pitch_hz

_CLOSING_S = 2.0
_ALL_BEDS = "The alarms of every bed are heard, on show or not."


class SoundDesk:
    """choice: what is wanted at first. open_output: opens the way to the loudspeaker. say: tells the operator a few
    words. start: with the thread that does so; else the caller steps ``keeper``."""

    def __init__(
        self,
        ward: Ward,
        choice: SoundChoice,
        open_output: OpenOutput,
        *,
        say: Callable[[str], None],
        monotonic: Callable[[], float],
        start: bool = True,
    ) -> None:
        self._ward, self._say, self._monotonic = ward, say, monotonic
        self.choice = choice
        self._figures = default_figures()
        self.player = Player(self._figures, monotonic())
        self.keeper = Keeper(self.player, open_output, monotonic)
        self._clock = BeatClock(self._figures.beat.delay_s)
        self._head_s: float | None = None
        self.keeper.want(choice.on)
        if start:
            self.keeper.start()

    @property
    def _beds(self) -> Sequence[Bedside]:
        return self._ward.beds

    def frame(self, now_s: float, head_s: float | None) -> None:
        """head_s: where the beam of the bed on show stands, None where its waves of now are not on the screen."""
        bed, beds, choice = self._ward.on_show, self._beds, self.choice
        audible = choice.on and not why_silent(beds, bed)
        self.player.want(Wanted(now_s, audible_level(beds) if audible else "", choice.volume, audible, choice.on))
        self._head_s = head_s if bed.verdict.life is Life.LIVE else None
        whose = bed.name, bed.state.generation
        due = self._clock.due(whose, bed.state.beats, self._head_s, bed.speed)
        if due and audible and choice.beat_tone and not self._no_circulation():
            vitals = bed.state.current_vitals(bed.moment)
            spo2 = vitals.spo2 if vitals is not None else None
            self.player.beat(beat_pitch_hz(spo2, self._figures.beat), now_s)

    def words(self) -> tuple[SoundWords, str]:
        """For the sign, and more for its tooltip."""
        silent = why_silent(self._beds, self._ward.on_show)
        return sound_words(self.choice, self.keeper.trouble, silent, self._beat_words()), _ALL_BEDS

    def _beat_words(self) -> str:
        bed = self._ward.on_show
        if not self.choice.beat_tone:
            return ""
        if self._no_circulation():
            return "not now"
        if not in_real_time(bed.speed):
            return "only at 1×"
        return source_words(bed.state.beats, self._head_s, self._figures.beat.delay_s) or "no beat"

    def _no_circulation(self) -> bool:
        """Whether an alarm says so of the bed on show, acknowledged or not: electrical beats would sound like life."""
        return any(alarm.record.key in NO_CIRCULATION for alarm in self._ward.on_show.state.alarms.standing)

    # What the operator does ---------------------------------------------------------------------------------------

    def change_volume(self, direction: float) -> None:
        """Louder, for a negative ``direction`` softer; heard at once."""
        self.choice = self.choice.louder(int(direction))
        self._say(f"volume {self.choice.volume} %" + ("" if self.choice.on else ", and the sound is off"))
        self.player.beat(self._figures.beat.pitch_hz, self._monotonic())

    def toggle_beat_tone(self) -> None:
        """The beat tone on or off."""
        self.choice = replace(self.choice, beat_tone=not self.choice.beat_tone)
        self._say(f"beat tone {'on' if self.choice.beat_tone else 'off'}")

    def toggle_sound(self) -> None:
        """All sound off, which the screen says as long as it lasts, and on again."""
        self.choice = replace(self.choice, on=not self.choice.on)
        self.keeper.want(self.choice.on)
        self._say("sound on" if self.choice.on else "ALL SOUND OFF — Shift+M to bring it back")

    # The end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Silence; waits for nothing."""
        self.player.want(Wanted(self._monotonic(), audible=False, on=False))
        self.keeper.close()

    def join(self) -> None:
        """Wait, after the window is gone, until the device is closed."""
        self.keeper.join(_CLOSING_S)
