"""The operator's side of alarms: silence, acknowledgement and limits of every bed, and what is kept of them.

Which alarms there are the stream says; what may sound and flash is decided here (:mod:`ui.bed.alarm_states`). Limits
that this display keeps for a bed are sent where nobody has set any; what another desk has set is left alone. Nothing
here waits: orders go by :mod:`ui.window.control_link`, files by :mod:`ui.window.alarm_files`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from streams.control import SessionControl
from streams.limit_settings import DEFAULT_SETTINGS, LimitSetting
from streams.records import AlarmRecord, AnyRecord, WaveTick
from ui.bed.alarm_journal import Entry, Journal, changes
from ui.bed.alarm_states import Mode, Silence
from ui.bed.bedside import Bedside
from ui.bed.past import whose_words
from ui.bed.ward import Ward
from ui.style.language import tr
from ui.style.words import bed_title
from ui.window.alarm_files import AlarmFiles, KeptState
from ui.window.control_link import ControlLink

_AGAIN_S = 5.0  # until limits that were sent and not taken are sent again
_SEEN_KEPT = 64  # acknowledgements of a bed


class AlarmDesk:
    """say: tells the operator a few words. unix: seconds from 1970."""

    def __init__(
        self,
        link: ControlLink,
        ward: Ward,
        files: AlarmFiles,
        *,
        say: Callable[[str], None],
        now_s: Callable[[], float],
        unix: Callable[[], float],
    ) -> None:
        self._link, self._ward, self._files = link, ward, files
        self._say, self._now, self._unix = say, now_s, unix
        self._whose: dict[str, str] = {}  # of each bed the session that its silence and what was seen are of
        self._sent_s: dict[str, float] = {}
        self._told: dict[str, tuple[LimitSetting, ...] | None] = {}
        self._journals: dict[str, Journal] = {}
        self._reminding = False

    # What the window asks ---------------------------------------------------------------------------------------------

    @property
    def silence(self) -> Silence:
        """Of the bed on show."""
        return self._bed.switch.silence

    def journal(self, bed: str) -> Journal:
        """What has happened to the alarms of a bed; what is on disk of it comes soon."""
        found = self._journals.get(bed)
        if found is None:
            found = Journal()
            if bed:  # else it is nobody's yet
                self._journals[bed] = found
                self._files.load_journal(bed, found.before)
        return found

    @property
    def _bed(self) -> Bedside:
        return self._ward.on_show

    # What the operator does -------------------------------------------------------------------------------------------

    def acknowledge(self, keys: Collection[str] | None = None) -> None:
        """Alarms of the bed on show have been seen: all, or those of ``keys``. They keep a tick until they end, or get
        worse; those that have ended go. With all of them goes the sound of a bed that is lost."""
        alarms = self._bed.state.alarms
        words = {alarm.record.key: (alarm.words, alarm.record.priority) for alarm in alarms.shown}
        new = alarms.acknowledge(keys)
        lost = keys is None and self._bed.verdict.urgent
        if lost and not self._bed.loss_seen:
            self._bed.loss_seen = True
            self._note(self._bed, "acknowledged", self._bed.verdict.words)
        if not new and lost:
            self._say(tr("that this bed is lost has been seen"))
            return
        if not new:
            self._say(tr("no alarm to acknowledge"))
            return
        self._link.do("acknowledge", lambda control: control.acknowledge(new))
        for key, since_s in new.items():
            self._note(self._bed, "acknowledged", words[key][0], words[key][1], key, since_s)
        count = len(new)
        self._say(tr("alarm acknowledged") if count == 1 else tr("{number} alarms acknowledged", number=count))
        self._keep_state(self._bed)

    def acknowledge_alarm(self, key: str) -> None:
        """One alarm has been seen."""
        self.acknowledge({key})

    def silence_alarms(self, name: str) -> None:
        """The key of a state ("AUDIO PAUSED", …) was pressed: into it, or out of it where it holds."""
        bed, before = self._bed, self._bed.switch.silence
        self._say(bed.switch.press(Mode(name), self._now()))
        if bed.switch.silence != before:
            self._note(bed, bed.switch.silence.mode.value or f"end of {before.mode.value}", "")
            self._keep_state(bed)

    def set_limits(self, limits: Sequence[LimitSetting]) -> None:
        """The alarms of the bed on show are judged by these from now on; BadInput is the caller's to look for."""
        settings, name = tuple(limits), self._bed.name
        self._files.keep_limits(name, settings if settings != DEFAULT_SETTINGS else None)
        self._send(name, settings)

    def _send(self, bed: str, settings: tuple[LimitSetting, ...]) -> None:
        self._sent_s[bed] = self._now()

        def order(control: SessionControl) -> None:
            control.set_limits(settings, bed)

        self._link.do(tr("limits of {bed}", bed=bed_title(bed)), order)

    # What happens by itself -------------------------------------------------------------------------------------------

    def follow(self, record: AnyRecord) -> None:
        """Every record that the window folds; of a bed that has no data there is nothing to keep."""
        if isinstance(record, AlarmRecord | WaveTick):
            self.journal(record.bed).follow(record, self._unix())

    def poll(self) -> None:
        """Ten times a second: what has been read comes in, timed silences end, limits are sent where nobody has set
        any, and what is new is written."""
        now_s = self._now()
        for sentence in self._files.poll():
            self._say(sentence)
        for bed in self._ward.beds:
            if not bed.name:
                continue
            if self._files.states.settled:
                self._meet(bed)
            mode = bed.switch.silence.mode
            if bed.switch.end(now_s):
                over = tr("{state} is over", state=tr(mode.value))
                self._say(over if bed is self._bed else f"{bed_title(bed.name)}: {over}")
                self._note(bed, f"end of {mode.value}", "")
                self._keep_state(bed)
            self._watch_limits(bed, now_s)
        reminding = self.silence.reminds(now_s)
        if reminding and not self._reminding:
            silence, title = tr(self.silence.mode.value), bed_title(self._bed.name)
            self._say(tr("{state}: no alarm of {bed} makes a sound", state=silence, bed=title))
        self._reminding = reminding
        for name, journal in self._journals.items():
            if new := journal.take_new():
                self._files.add_to_journal(name, new)

    def _watch_limits(self, bed: Bedside, now_s: float) -> None:
        state, name = bed.state, bed.name
        before, self._told[name] = self._told.get(name), state.limits
        new = before is not state.limits and before is not None and state.limits is not None
        if new and (said := changes(before or (), state.limits or ())):
            self._note(bed, "limits set", f"{said}, by {state.limits_by or 'nobody'}")
        kept = self._files.limits.value.get(name)
        nobodys = state.limits is not None and not state.limits_by
        if kept is not None and nobodys and now_s - self._sent_s.get(name, -math.inf) > _AGAIN_S:
            self._send(name, kept)

    def close(self) -> None:
        """Writes what is new."""
        for name, journal in self._journals.items():
            if new := journal.take_new():
                self._files.add_to_journal(name, new)
        self._files.close()

    # What is kept -----------------------------------------------------------------------------------------------------

    def _meet(self, bed: Bedside) -> None:
        """Of a session that begins at a bed: the first is as it was left, a later one is silenced by nobody yet."""
        session = bed.state.session
        before = self._whose.get(bed.name, "")
        if session in ("", before):
            return
        self._whose[bed.name] = session
        if not before:
            self._greet(bed, session)
        elif (mode := bed.switch.silence.mode) is not Mode.ON:
            bed.switch.silence = Silence()
            over, whose = tr("{state} is over", state=tr(mode.value)), whose_words(before, session)
            self._say(f"{bed_title(bed.name)}: {over} ({whose})")
            self._note(bed, f"end of {mode.value}", "")
            self._keep_state(bed)

    def _greet(self, bed: Bedside, session: str) -> None:
        if bed.switch.silence.mode is not Mode.ON:  # somebody was quicker than its first record
            self._keep_state(bed)
        kept = self._files.states.value.get(bed.name)
        if kept is None:
            return
        bed.state.remember({(whose, key): since_s for whose, key, since_s in kept.seen})
        ahead_s = self._now() - self._unix()
        until_s = math.inf if kept.until_unix_s is None else kept.until_unix_s + ahead_s
        silence = Silence(kept.mode, min(self._now(), kept.since_unix_s + ahead_s), until_s)
        # Nobody has silenced the alarms of a patient who lies in this bed since.
        left = kept.session == session and silence.at(self._now()) is not Mode.ON
        if left and bed.switch.silence.mode is Mode.ON:
            bed.switch.silence = silence
            self._say(tr("{state}, as it was left", state=tr(silence.mode.value)))

    def _keep_state(self, bed: Bedside) -> None:
        """Of the one that has changed: of the others another display may know more."""
        session = self._whose.get(bed.name, "")
        if not session:  # nobody is there, or what was left is not taken up yet
            return
        ahead_s = self._now() - self._unix()
        silence = bed.switch.silence
        until = silence.until_s - ahead_s if math.isfinite(silence.until_s) else None
        since = silence.since_s - ahead_s if math.isfinite(silence.since_s) else 0.0
        acknowledged = [a for a in bed.state.alarms.standing if a.acknowledged]
        seen = [(session, a.record.key, a.since_s) for a in acknowledged][:_SEEN_KEPT]
        state = KeptState(silence.mode, session, since, until, seen) if silence.mode is not Mode.ON or seen else None
        self._files.keep_state(bed.name, state)

    def _note(
        self, bed: Bedside, what: str, words: str, priority: str = "", key: str = "", since_s: float | None = None
    ) -> None:
        if bed.name:  # before the first record nobody is there
            entry = Entry(self._unix(), bed.state.session, bed.moment.event_s, what, words, priority, key, since_s)
            self.journal(bed.name).note(entry)
