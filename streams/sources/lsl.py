"""LabStreamingLayer in: streams of the network as one device (Kothe et al., *Imaging Neuroscience* 2025; liblsl).

``lsl:`` takes every usable stream there is, ``lsl:name=…,type=…,source_id=…,hostname=…`` those that fit. Usable is a
stream of numbers with a nominal rate; the others are ignored with a word. Two streams of one modality may be two
patients: that is refused, with what is there, and the user names one.

Channels are named and have their units as the stream's description says (label, unit and type in
``desc/channels/channel``). Stamps are taken as they are sent, brought to this machine's clock by liblsl's measured
offset, and nothing more: liblsl's own dejittering stays off, since Vigil's (:mod:`models.signals.live_grid`) has to
know the stamps. A stream that is lost is silent until it is back; liblsl finds one that has a source id again, also
when its program was started anew, and one without is looked for here by what it says of itself.

pylsl is an extra, loaded when it is needed.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np

from models.signals.aliases import candidates
from models.signals.channels import MAX_RATE_HZ, MIN_RATE_HZ
from models.signals.errors import BadInput
from models.signals.install import install_hint
from models.signals.modalities import Modality
from models.signals.plain_text import plain
from models.signals.recording import OTHER_SIGNAL
from streams.sources.device import Block, DeviceChannel, DeviceLost

SCHEME = "lsl:"
KEYS = ("name", "type", "source_id", "hostname")
LOOK_S = 1.5
"""So long streams of the network are listened for. liblsl asks every half second; to the first question not all answer.
"""
BUFFER_S = 60
POLL_S = 0.004
CORRECT_EVERY_S = 5.0
GIVE_UP_S = 5.0
MOST_SAMPLES = 4096  # taken at once
MOST_XML = 1 << 22
LISTED = 12

_DECLARED = {
    "ecg": Modality.ECG, "ekg": Modality.ECG, "eeg": Modality.EEG, "ppg": Modality.PPG, "pleth": Modality.PPG,
    "abp": Modality.ABP, "ibp": Modality.ABP, "resp": Modality.RESP, "respiration": Modality.RESP,
    "cvp": Modality.CVP, "pap": Modality.PAP, "icp": Modality.ICP, "co2": Modality.CO2, "capnogram": Modality.CO2,
    "awp": Modality.AWP,
}  # fmt: skip
_OTHER = frozenset(
    (
        "emg",
        "eog",
        "eda",
        "gsr",
        "acc",
        "accelerometer",
        "gyro",
        "gyroscope",
        "gaze",
        "audio",
        "mocap",
        "markers",
        "misc",
    )
)

log = logging.getLogger("vigil.lsl")


@dataclass(frozen=True, slots=True)
class StreamSaid:
    """What a stream says of itself. rate_hz 0: irregular. number: whether its values are numbers."""

    name: str
    type: str
    source_id: str
    hostname: str
    rate_hz: float
    channels: int
    number: bool

    def __str__(self) -> str:
        rate = f"{self.rate_hz:g} Hz" if self.rate_hz else "irregular"
        kind = f"type={self.type}, " if self.type else ""
        source = f"source_id={self.source_id}, " if self.source_id else ""
        what = f"{kind}{source}hostname={self.hostname}, {self.channels} ch, {rate}"
        return f"name={plain(self.name)} ({plain(what)})"

    @property
    def unusable(self) -> str:
        """Why it cannot be a wave (a clause), "" where it can."""
        if not self.number:
            return "it is a stream of text"
        if not self.rate_hz:
            return "it has no regular rate"
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            return f"its rate is {self.rate_hz:g} Hz"
        return ""


def lsl_criteria(spec: str) -> dict[str, str]:
    """``"lsl:name=Amp,type=ECG"`` → ``{"name": "Amp", "type": "ECG"}``; BadInput for anything else."""
    criteria: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in spec.removeprefix(SCHEME).split(","))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not (equals and value) or key not in KEYS or key in criteria:
            near = difflib.get_close_matches(key, KEYS, n=1)
            remedy = f"did you mean {near[0]}=…?" if near and key not in KEYS else "write them that way"
            raise BadInput("lsl:name=…,type=…,source_id=…,hostname=… (each once, any of them)", repr(part), remedy)
        criteria[key] = value
    return criteria


def lsl_word(said: StreamSaid) -> str:
    """The source that takes this stream: its name and source id, as far as they can be written in one.

    >>> lsl_word(StreamSaid("Amp", "ECG", "a1", "host", 500.0, 1, True))
    'lsl:name=Amp,source_id=a1'
    """
    said_so = [(key, getattr(said, key)) for key in ("name", "source_id")]
    return SCHEME + ",".join(f"{k}={v}" for k, v in said_so if v and "," not in v and v == v.strip())


def lsl_streams(wait_s: float = LOOK_S) -> list[StreamSaid]:
    """The streams of the network, usable or not, by name; listens for ``wait_s``."""
    pylsl = load_pylsl()
    return sorted((_said(pylsl, info) for info in _look(pylsl, wait_s)), key=str)


class LslDevice:
    """A :class:`streams.sources.device.Device` of the streams that ``spec`` names."""

    def __init__(self, spec: str = SCHEME, *, look_s: float = LOOK_S) -> None:
        self._criteria, self._look_s = lsl_criteria(spec), look_s
        self.name = "LSL" + "".join(f" {key}={value}" for key, value in self._criteria.items())
        self._streams: list[_Stream] = []
        self.ignored: tuple[tuple[StreamSaid, str], ...] = ()

    def open(self, timeout_s: float) -> Sequence[DeviceChannel]:
        """Finds the streams and connects to them; see the module. DeviceLost where one that is there does not
        answer in time."""
        pylsl = load_pylsl()
        deadline = time.monotonic() + timeout_s
        found = [(_said(pylsl, info), info) for info in _look(pylsl, min(self._look_s, timeout_s))]
        fit = [pair for pair in found if all(getattr(pair[0], k) == v for k, v in self._criteria.items())]
        usable = sorted((pair for pair in fit if not pair[0].unusable), key=lambda pair: str(pair[0]))
        self.ignored = tuple((said, said.unusable) for said, _ in fit if said.unusable)
        for said, why in self.ignored:
            log.info("not taken: %s: %s", said, why)
        if not usable:
            raise self._none_fits(sorted((said for said, _ in found), key=str))
        try:
            names: set[str] = set()
            for said, info in usable:
                self._streams.append(_Stream(pylsl, said, info, deadline, names))
            self._refuse_two_of_a_kind()
            for stream in self._streams:
                stream.subscribe(deadline)
            for stream in self._streams:
                stream.measured(deadline)
        except BaseException:
            self.close()
            raise
        for stream in self._streams:
            stream.flush()  # what came while the others connected is of before
        return [channel for stream in self._streams for channel in stream.channels]

    def read(self, timeout_s: float) -> list[Block]:
        """What has arrived, of all streams. Never raises: a lost stream is silent until it is back."""
        if not self._streams:
            raise DeviceLost("No LSL stream is open.")
        deadline = time.monotonic() + timeout_s
        while True:
            blocks = [block for stream in self._streams for block in stream.pull()]
            left_s = deadline - time.monotonic()
            if blocks or left_s <= 0.0:
                return blocks
            time.sleep(min(POLL_S, left_s))

    def close(self) -> None:
        """Disconnects."""
        for stream in self._streams:
            stream.close()
        self._streams = []

    def _none_fits(self, there: list[StreamSaid]) -> BadInput:
        wanted = ", ".join(f"{k}={v!r}" for k, v in self._criteria.items())
        usable = [said for said in there if not said.unusable]
        return BadInput(
            f"a regular LSL stream of numbers{' with ' + wanted if wanted else ''}",
            _listing(there) if there else "no LSL stream on this network",
            f"name one of these, such as lsl:name={plain(usable[0].name) if usable else '…'}"
            if there
            else "is it switched on, and does the firewall let it pass?",
        )

    def _refuse_two_of_a_kind(self) -> None:
        """Two streams of one modality may be two patients."""
        for modality in Modality:
            having = [s for s in self._streams if candidates(modality, *_names(s.channels))]
            if len(having) > 1:
                raise BadInput(
                    f"one LSL stream with {modality}",
                    _listing([s.said for s in having]),
                    f"name one, such as lsl:name={having[0].said.name}, since two may be two patients",
                )


class _Stream:
    """One inlet, what its channels are called, and its clock.

    ``_offset_s`` brings stamps to ``time.monotonic``: liblsl's measured offset to its ``local_clock``, and that one's
    to ours. Nothing is taken before it is known (None), which takes liblsl half a second; only where it cannot be
    measured at all are stamps left as they are.
    """

    def __init__(self, pylsl: ModuleType, said: StreamSaid, info: Any, deadline: float, names: set[str]) -> None:
        self.said, self._pylsl = said, pylsl
        self._resolver: Any = None
        inlet = self._inlet = self._inlet_of(info)
        try:
            full = inlet.info(_left(deadline))
        except RuntimeError as error:  # pylsl's TimeoutError and LostError are that
            raise DeviceLost(f"{said} does not say what it sends: {_why(error)}.") from error
        self.channels = _channels(said, full.as_xml(), names)
        # pylsl.lib.fmt2npdtype is not public; a numeric stream's inlet knows its C type.
        self._buffer = np.empty((MOST_SAMPLES, said.channels), np.dtype(inlet.value_type))

    def subscribe(self, deadline: float) -> None:
        """From now on samples come; its clock is being measured."""
        try:
            self._inlet.open_stream(_left(deadline))
        except RuntimeError as error:
            raise DeviceLost(f"{self.said} does not answer: {_why(error)}.") from error
        self._offset_s: float | None = None
        self._asked_s, self._begun_s = -np.inf, time.monotonic()
        self._correct(0.0)

    def measured(self, deadline: float) -> None:
        """Wait until its clock is known, but not beyond ``deadline``."""
        self._asked_s = -np.inf
        self._correct(_left(deadline))

    def pull(self) -> list[Block]:
        """Everything that waits, one block a channel and pull."""
        if self._inlet is None:
            self._find_again()
            return []
        self._correct(0.0)
        if self._offset_s is None:
            return []
        blocks: list[Block] = []
        while True:
            try:
                _, stamps = self._inlet.pull_chunk(timeout=0.0, max_samples=MOST_SAMPLES, dest_obj=self._buffer)
            except RuntimeError as error:  # LostError
                log.warning("%s is lost: %s", self.said, _why(error))
                self._inlet = None
                self._resolver = self._pylsl.ContinuousResolver(pred=_predicate(self.said), forget_after=2.0)
                return blocks
            count = len(stamps)
            if count:
                times = np.asarray(stamps, np.float64) + self._offset_s
                values = self._buffer[:count].astype(np.float32)
                blocks += [
                    Block(channel.name, np.ascontiguousarray(values[:, i]), times)
                    for i, channel in enumerate(self.channels)
                ]
            if count < MOST_SAMPLES:
                return blocks

    def flush(self) -> None:
        """Forget what has come so far."""
        if self._inlet is not None:
            self._inlet.flush()

    def close(self) -> None:
        """Lets go of the stream."""
        if self._inlet is not None:
            self._inlet.close_stream()
        self._inlet = self._resolver = None

    def _inlet_of(self, info: Any) -> Any:
        # recover: liblsl can only find again what has a source id.
        return self._pylsl.StreamInlet(info, max_buflen=BUFFER_S, recover=bool(self.said.source_id))

    def _find_again(self) -> None:
        """Look for a stream that liblsl cannot find again by itself."""
        for info in self._resolver.results():
            self._inlet = self._inlet_of(info)
            try:
                self.subscribe(time.monotonic())
            except DeviceLost:
                self._inlet = None
                continue
            self._resolver = None
            return

    def _correct(self, timeout_s: float) -> None:
        """The clock's offset, every few seconds; the last one stays where there is none now."""
        now_s = time.monotonic()
        if self._offset_s is not None and now_s - self._asked_s < CORRECT_EVERY_S:
            return
        self._asked_s = now_s
        try:
            correction_s = self._inlet.time_correction(timeout_s)
        except RuntimeError:  # not known yet, or lost, which the next pull says
            if self._offset_s is None and now_s - self._begun_s > GIVE_UP_S:
                log.warning("%s: its clock cannot be measured", self.said)
                self._offset_s = 0.0
            return
        self._offset_s = correction_s - (self._pylsl.local_clock() - time.monotonic())


def load_pylsl() -> ModuleType:
    """pylsl, loaded now; BadInput with what to do where it, or its liblsl, is missing."""
    try:
        pylsl: ModuleType = importlib.import_module("pylsl")
    except (ImportError, RuntimeError, OSError) as error:  # without liblsl pylsl raises RuntimeError
        raise BadInput(
            "pylsl for LabStreamingLayer", f"none that loads ({_why(error)})", f"install it with: {install_hint('lsl')}"
        ) from error
    if not any(place.is_file() for place in _own_settings()):
        # liblsl tells the error stream what it does; what a person should know is said by us. Before its first call.
        with suppress(AttributeError, NotImplementedError, RuntimeError):
            pylsl.set_config_content("[log]\nlevel = -2\n")
    return pylsl


def _own_settings() -> list[Path]:
    """Where liblsl looks for a user's own settings (its network, among others), which stay in force."""
    said = os.environ.get("LSLAPICFG")
    folders = (Path.cwd(), Path.home() / "lsl_api", Path("/etc/lsl_api"))
    return [*([Path(said)] if said else []), *(folder / "lsl_api.cfg" for folder in folders)]


def _look(pylsl: ModuleType, wait_s: float) -> list[Any]:
    """Streams that answer within ``wait_s``; all of it is waited, since another patient's may be the last to answer."""
    resolver = pylsl.ContinuousResolver(forget_after=max(5.0, 2.0 * wait_s))
    time.sleep(wait_s)
    return list(resolver.results())


def _said(pylsl: ModuleType, info: Any) -> StreamSaid:
    return StreamSaid(
        name=info.name(),
        type=info.type(),
        source_id=info.source_id(),
        hostname=info.hostname(),
        rate_hz=float(info.nominal_srate()),
        channels=info.channel_count(),
        number=info.channel_format() not in (pylsl.cf_string, pylsl.cf_undefined),
    )


def _channels(said: StreamSaid, xml: str, names: set[str]) -> tuple[DeviceChannel, ...]:
    """Channels with label, unit and type of the description; names are ``stream/label``, each once."""
    rows = _described(xml)
    labels = [row["label"] for row in rows if row["label"]]
    kind = _declared(said.type)
    if kind in _DECLARED.values() and candidates(Modality(kind), labels):
        kind = ""  # some of its channels are known by name: the others are not what the stream as a whole is called
    found = []
    for i in range(said.channels):
        row = rows[i] if i < len(rows) else {}
        label = row.get("label") or (said.name if said.channels == 1 else f"{said.type or said.name} {i + 1}")
        label = plain(label.replace("/", "-"))
        declared = _declared(row.get("type", ""))
        if not declared and not (row.get("label") and any(candidates(m, [label]) for m in Modality)):
            declared = kind
        base = name = f"{plain(said.name.replace('/', '-'))}/{label}"
        number = 1
        while name in names:
            number += 1
            name = f"{base} ({number})"
        names.add(name)
        found.append(DeviceChannel(name, plain(row.get("unit", "")), said.rate_hz, declared))
    return tuple(found)


def _described(xml: str) -> list[dict[str, str]]:
    """label, unit and type of each channel, as far as the description has them; [] for none, or one that is broken."""
    if len(xml) > MOST_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        return []
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return []
    return [
        {key: (channel.findtext(key) or "").strip() for key in ("label", "unit", "type")}
        for channel in root.findall("./desc/channels/channel")
    ]


def _declared(kind: str) -> str:
    word = kind.strip().casefold()
    return _DECLARED[word].value if word in _DECLARED else OTHER_SIGNAL if word in _OTHER else ""


def _names(channels: Sequence[DeviceChannel]) -> tuple[list[str], dict[str, str]]:
    return [c.name for c in channels], {c.name: c.declared for c in channels}


def _listing(streams: Sequence[StreamSaid]) -> str:
    more = f" and {len(streams) - LISTED} more" if len(streams) > LISTED else ""
    return "; ".join(f"{s}{', ' + s.unusable if s.unusable else ''}" for s in streams[:LISTED]) + more


def _predicate(said: StreamSaid) -> str:
    """XPath for a stream that says the same of itself; text that XPath 1.0 cannot quote is left out."""
    pairs = (("name", said.name), ("type", said.type), ("hostname", said.hostname))
    terms = [f"{key}='{value}'" for key, value in pairs if "'" not in value]
    return " and ".join([*terms, f"channel_count='{said.channels}'"])


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.05)


def _why(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
