"""What an IEEE 11073 SDC device says, in Vigil's words: its description to channels, its waveform messages to blocks.

The XML is that of BICEPS (IEEE 11073-10207): an *MDIB* describes the device as a tree of Mds, Vmd, Channel and Metric,
and a wave is a metric of the type ``RealTimeSampleArrayMetricDescriptor``. What it is and its unit are said in codes of
IEEE 11073-10101, as a number (partition · 65,536 + code) or a symbolic name; codes of other systems count where a
translation is given. What the codes do not say, a name may: the concept's description, or the handle.

Pure, and of the XML it needs no more than ``xml.etree`` has. A message is not trusted: what cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.signals.aliases import candidates
from models.signals.channels import MAX_RATE_HZ, MIN_RATE_HZ
from models.signals.modalities import Modality
from models.signals.plain_text import plain
from models.signals.recording import OTHER_SIGNAL
from streams.sources.device import Block, DeviceChannel

Node = Any  # an element of lxml or xml.etree
Patients = dict[str, tuple[str, frozenset[str]]]
"""Handle of a patient's state → its association and identifiers."""

MDC_SYSTEMS = ("", "urn:oid:1.2.840.10004.1.1.1.0.0.1", "urn:oid:2.16.840.1.113883.6.24")
UCUM_SYSTEM = "urn:oid:2.16.840.1.113883.6.8"
MOST_SAMPLES = 1 << 14  # of one wave in one message
ON = "On"
GOOD = frozenset(("Vld", "Vldated", "Qst"))
"""Validities (BICEPS MeasurementValidity) whose samples are taken. Questionable ones are: Vigil looks for itself."""
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

_PART = 2 << 16  # partition 2, SCADA
_LEAD_NAMES = {1: "I", 2: "II", 61: "III", 62: "AVR", 63: "AVL", 64: "AVF", 87: "V"} | {
    2 + n: f"V{n}" for n in range(1, 7)
}
# 2::0 … 2::255 MDC_ECG_LEAD_x, 2::256 … 2::511 MDC_ECG_ELEC_POTL_x: the same leads
_ECG = range(_PART, _PART + 512)
_BLOOD_PRESSURES = range(_PART + 18944, _PART + 19200)
_CODES: dict[int, tuple[str, str]] = {
    _PART + 18944: ("", "P"),  # MDC_PRESS_BLD: of what, the name may say
    _PART + 18956: (Modality.ABP, "AO"),
    _PART + 18960: (Modality.ABP, "ART"),
    _PART + 18964: (Modality.ABP, "ABP"),
    _PART + 18984: (Modality.ABP, "UAP"),
    _PART + 18972: (Modality.PAP, "PAP"),
    _PART + 19012: (Modality.CVP, "CVP"),
    _PART + 22536: (Modality.ICP, "ICP"),
    _PART + 20720: (Modality.AWP, "AWP"),
    _PART + 19380: (Modality.PPG, "PLETH"),
    _PART + 20480: (Modality.RESP, "RESP"),
    _PART + 20708: (Modality.RESP, "IMPEDANCE_RESP"),
    _PART + 20652: (Modality.CO2, "CO2"),
    _PART + 22828: (Modality.EEG, "EEG"),
}
# The first that fits; a name goes on after it, at an underscore.
_NAMES: tuple[tuple[str, str, str], ...] = (
    ("MDC_ECG_ELEC_POTL", Modality.ECG, "ECG"),
    ("MDC_ECG_LEAD", Modality.ECG, "ECG"),
    ("MDC_PRESS_BLD_ART_PULM_WEDGE", OTHER_SIGNAL, "PAWP"),
    ("MDC_PRESS_BLD_ART_PULM", Modality.PAP, "PAP"),
    ("MDC_PRESS_BLD_VEN_CENT", Modality.CVP, "CVP"),
    ("MDC_PRESS_INTRA_CRAN", Modality.ICP, "ICP"),
    ("MDC_PRESS_AWAY", Modality.AWP, "AWP"),
    ("MDC_PRESS_BLD_ART_ABP", Modality.ABP, "ABP"),
    ("MDC_PRESS_BLD_ART_UMB", Modality.ABP, "UAP"),
    ("MDC_PRESS_BLD_ART_FEMORAL", Modality.ABP, "FEM"),
    ("MDC_PRESS_BLD_ART", Modality.ABP, "ART"),
    ("MDC_PRESS_BLD_AORT", Modality.ABP, "AO"),
    ("MDC_PULS_OXIM_PLETH", Modality.PPG, "PLETH"),
    ("MDC_EEG", Modality.EEG, "EEG"),
    ("MDC_RESP", Modality.RESP, "RESP"),
    ("MDC_IMPED_TTHOR", Modality.RESP, "IMPEDANCE_RESP"),
    ("MDC_AWAY_CO2", Modality.CO2, "CO2"),
    ("MDC_CONC_AWAY_CO2", Modality.CO2, "CO2"),
    ("MDC_PRESS", OTHER_SIGNAL, ""),
    ("MDC_FLOW", OTHER_SIGNAL, ""),
    ("MDC_VOL", OTHER_SIGNAL, ""),
    ("MDC_EMG", OTHER_SIGNAL, ""),
    ("MDC_EOG", OTHER_SIGNAL, ""),
)

_DIMENSIONS = {
    (4 << 16) + code: unit
    for code, unit in {
        512: "1", 544: "%", 3840: "Pa", 3842: "hPa", 3843: "kPa", 3872: "mmHg", 3904: "cmH2O", 3954: "mbar",
        4416: "degF", 6048: "degC", 4256: "V", 4274: "mV", 4275: "uV", 4276: "nV", 4288: "Ohm",
    }.items()
}  # fmt: skip
_DIMENSION_NAMES = {
    "MDC_DIM_DIMLESS": "1", "MDC_DIM_PERCENT": "%", "MDC_DIM_X_PASCAL": "Pa", "MDC_DIM_HECTO_PASCAL": "hPa",
    "MDC_DIM_KILO_PASCAL": "kPa", "MDC_DIM_MMHG": "mmHg", "MDC_DIM_CM_H2O": "cmH2O", "MDC_DIM_MILLI_BAR": "mbar",
    "MDC_DIM_VOLT": "V", "MDC_DIM_X_VOLT": "V", "MDC_DIM_MILLI_VOLT": "mV", "MDC_DIM_MICRO_VOLT": "uV",
    "MDC_DIM_NANO_VOLT": "nV", "MDC_DIM_X_OHM": "Ohm", "MDC_DIM_DEGC": "degC", "MDC_DIM_FAHR": "degF",
}  # fmt: skip

# What an annotation says about its samples, where it says that they are none: the words of its code and description.
_SPOILT = re.compile(
    r"invalid|artefact|artifact|saturat|disconn|unplug|lead.?s?.?off|sensor.?off|calibrat|zeroing|flush"
    r"|out.?of.?range|_inop\b|_err\b|\bnoise",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave of the device: its handle, the Mds it belongs to, and the channel that Vigil makes of it."""

    handle: str
    mds: str
    channel: DeviceChannel


@dataclass(frozen=True, slots=True)
class Described:
    """What a device has, but for its numbers (:mod:`streams.sources.sdc_numbers`). ignored: waves that cannot be taken,
    and why (a clause). patients: Mds → handles of its patient contexts."""

    waves: tuple[Wave, ...]
    ignored: tuple[tuple[str, str], ...] = ()
    patients: Mapping[str, frozenset[str]] = field(default_factory=dict)


def described(mdib: Node) -> Described:
    """Reads a description: any element around ``MdDescription``."""
    waves: list[Wave] = []
    ignored: list[tuple[str, str]] = []
    patients, names = {}, set()
    for mds in mdib.iterfind(".//{*}Mds"):
        home = mds.get("Handle") or ""
        contexts = mds.iterfind("{*}SystemContext/{*}PatientContext")
        patients[home] = frozenset(context.get("Handle") or "" for context in contexts)
        for metric in mds.iterfind(".//{*}Metric"):
            kind = type_of(metric)
            handle = metric.get("Handle") or ""
            if kind != "RealTimeSampleArrayMetricDescriptor" or not handle:
                continue
            period_s = _seconds(metric.get("SamplePeriod") or "")
            rate_hz = round(1.0 / period_s, 6) if period_s > 0.0 else 0.0
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                ignored.append((plain(handle), f"its rate is {rate_hz:g} Hz" if rate_hz else "it has no rate"))
                continue
            declared, label = _what(metric.find("{*}Type"), handle)
            base = name = f"{plain(handle.replace('/', '-'))}/{label}"
            number = 1
            while name in names:
                number += 1
                name = f"{base} ({number})"
            names.add(name)
            waves.append(Wave(handle, home, DeviceChannel(name, unit_said(metric.find("{*}Unit")), rate_hz, declared)))
    return Described(tuple(waves), tuple(ignored), patients)


def states(message: Node) -> Iterator[Node]:
    """The states of a waveform message."""
    return iter(message.iterfind("{*}State"))


def activation(state: Node) -> str:
    """On, NotRdy, StndBy, Off, Shtdn, Fail (BICEPS ComponentActivation; On where nothing is said)."""
    return state.get("ActivationState") or ON


def is_demo(state: Node) -> bool:
    """Whether its samples are for a demonstration or a test: no patient's."""
    quality = state.find("{*}MetricValue/{*}MetricQuality")
    return quality is not None and quality.get("Mode", "Real") != "Real"


def block(state: Node, channel: DeviceChannel) -> Block | None:
    """The samples of a wave's state, None where it has none.

    NaN: a sample whose validity is not among ``GOOD``, whose quality is 0, or which an annotation calls invalid; an
    annotation that marks a beat, a breath or a pacer's pulse says nothing against its sample. DeterminationTime is that
    of the first sample, on the device's wall clock; the block's stamp is that of the last one.
    """
    value = state.find("{*}MetricValue")
    if value is None or activation(state) != ON:
        return None
    try:
        samples = np.array((value.get("Samples") or "").split()[:MOST_SAMPLES], np.float64)
        determined = value.get("DeterminationTime")
        first_s = None if determined is None else int(determined) * 1e-3
    except (ValueError, OverflowError):
        return None
    if not len(samples):
        return None
    with np.errstate(over="ignore"):
        values = samples.astype(np.float32)
    _spoil(value, values)
    stamps_s = None if first_s is None else np.array([first_s + (len(values) - 1) / channel.rate_hz])
    return Block(channel.name, values, stamps_s)


def patients(node: Node, contexts: frozenset[str]) -> Patients:
    """Handle of a patient's state → its association and identifiers, of those that belong to ``contexts``."""
    found = {}
    for state in (*node.iterfind(".//{*}State"), *node.iterfind(".//{*}ContextState")):
        if type_of(state) != "PatientContextState" or (contexts and state.get("DescriptorHandle") not in contexts):
            continue
        identifiers = frozenset(
            f"{i.get('Root') or ''}^{i.get('Extension') or ''}" for i in state.iterfind("{*}Identification")
        )
        found[state.get("Handle") or ""] = (state.get("ContextAssociation") or "No", identifiers)
    return found


def another_patient(before: Patients, after: Patients) -> bool:
    """Whether the associated patient has changed. One who is given identifiers is still the same."""
    was, now = _associated(before), _associated(after)
    return was.keys() != now.keys() or any(was[h] != now[h] for h in was if was[h] and now[h])


def _associated(found: Patients) -> dict[str, frozenset[str]]:
    return {handle: identifiers for handle, (association, identifiers) in found.items() if association == "Assoc"}


def _spoil(value: Node, values: npt.NDArray[np.float32]) -> None:
    """Makes NaN of what the device says is no measurement."""
    quality = value.find("{*}MetricQuality")
    if quality is not None:
        try:
            worthless = float(quality.get("Qi") or 1.0) <= 0.0
        except ValueError:
            worthless = False
        if worthless or quality.get("Validity") not in GOOD:
            values[:] = np.nan
    bad = [bool(_SPOILT.search(_words(annotation))) for annotation in value.iterfind("{*}Annotation")]
    if not any(bad):
        return
    for applied in value.iterfind("{*}ApplyAnnotation"):
        which, sample = applied.get("AnnotationIndex") or "", applied.get("SampleIndex") or ""
        if which.isdecimal() and sample.isdecimal() and int(which) < len(bad) and int(sample) < len(values):
            values[int(sample)] = np.nan if bad[int(which)] else values[int(sample)]


def _words(annotation: Node) -> str:
    kind = annotation.find("{*}Type")
    return "" if kind is None else " ".join([kind.get("SymbolicCodeName") or "", *descriptions(kind)])


def _what(kind: Node | None, handle: str) -> tuple[str, str]:
    """The modality that its code says ("" where the name has to do), and its label."""
    texts = [] if kind is None else descriptions(kind)
    for number, name in () if kind is None else mdc_codes(kind):
        found = _of_number(number) or _of_name(name)
        if found is not None and found[0]:
            return found[0], found[1] or _label([*texts, name.removeprefix("MDC_"), handle])
    known = [text for text in (*texts, handle) if any(candidates(m, [text]) for m in Modality)]
    return "", _label([*known, *texts, handle])


def _of_number(number: int) -> tuple[str, str] | None:
    if number in _ECG:
        lead = _LEAD_NAMES.get((number - _PART) % 256)
        return str(Modality.ECG), f"ECG_{lead}" if lead else "ECG"
    found = _CODES.get(number)
    if found is None and number in _BLOOD_PRESSURES:
        return OTHER_SIGNAL, ""
    return None if found is None else (str(found[0]), found[1])


def _of_name(name: str) -> tuple[str, str] | None:
    for prefix, modality, label in _NAMES:
        if name == prefix or name.startswith(f"{prefix}_"):
            tail = name.removeprefix(prefix)
            return str(modality), f"ECG{tail}" if modality == Modality.ECG else label
    return None


def unit_said(unit: Node | None) -> str:
    """The unit of a metric; what is coded but not known is named as it is, so that it is not taken for another one."""
    if unit is None:
        return ""
    for number, name in mdc_codes(unit):
        known = _DIMENSIONS.get(number) or _DIMENSION_NAMES.get(name)
        if known:
            return known
    if unit.get("CodingSystem") == UCUM_SYSTEM:
        return plain(unit.get("Code") or "")
    return _label([*descriptions(unit), unit.get("SymbolicCodeName") or "", f"code {unit.get('Code') or '?'}"])


def mdc_codes(coded: Node) -> Iterator[tuple[int, str]]:
    """Number (-1: none) and symbolic name of a coded value and of its translations, in IEEE 11073-10101."""
    for each in (coded, *coded.iterfind("{*}Translation")):
        if (each.get("CodingSystem") or "") in MDC_SYSTEMS:
            code, name = (each.get("Code") or "").strip(), (each.get("SymbolicCodeName") or "").strip().upper()
            number = int(code) if code.isdecimal() and len(code) < 10 else -1
            yield number, name or (code.upper() if number < 0 else "")


def descriptions(coded: Node) -> list[str]:
    """What a concept is called, in English before other languages."""
    texts = [(t.get("Lang") or "en", (t.text or "").strip()) for t in coded.iterfind("{*}ConceptDescription")]
    return [text for _, text in sorted(texts, key=lambda t: not t[0].lower().startswith("en")) if text]


def _label(texts: Sequence[str]) -> str:
    return plain(next(text for text in texts if text).replace("/", "-"))


def type_of(node: Node) -> str:
    """Its ``xsi:type``, without a prefix; "" where it has none."""
    return (node.get(_TYPE) or "").rpartition(":")[2]


_DURATION = re.compile(r"PT(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d*\.?\d+)S)?")


def _seconds(duration: str) -> float:
    """``"PT0.002S"`` → 0.002; 0 for what is none (xs:duration, of hours, minutes and seconds)."""
    found = _DURATION.fullmatch(duration.strip())
    if found is None:
        return 0.0
    hours, minutes, seconds = (float(part or 0.0) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds
