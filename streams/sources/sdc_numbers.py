"""What an SDC device has measured as single numbers (``NumericMetric``), in Vigil's words; pure, see :mod:`.sdc_mdib`.

Which codes are which number is data: ``mdc`` in ``models/signals/numerics.toml``. Of several metrics of one kind the
preferred code counts that had a value when the device was described, and no other until it is described anew: two
probes are two numbers, and nothing is told now of one and now of the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.signals.aliases import named_among
from models.signals.device_numerics import Kind, kinds, scale_to
from models.signals.plain_text import plain
from streams.sources.device import DeviceValue
from streams.sources.sdc_mdib import ON, Node, activation, descriptions, is_demo, mdc_codes, type_of, unit_said

VALID = frozenset(("Vld", "Vldated"))
"""Validities whose value is told. Not a questionable one, nor the last one while the next is measured: unlike a wave,
a number cannot be judged here."""
_MEASURED = ("Msrmt", "Clc")  # not a setting, a preset or a recommendation


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of the device: its handle, the Mds it belongs to, its kind's name, and its unit."""

    handle: str
    mds: str
    name: str
    unit: str


def metrics(mdib: Node) -> tuple[list[Metric], list[tuple[str, str]]]:
    """The numbers of a description that are known, one of each kind in each Mds; and those that are not taken, and why
    (a clause)."""
    has = {
        state.get("DescriptorHandle"): value(state, Metric("", "", "", "")).value is not None
        for state in mdib.iterfind(".//{*}MdState/{*}State")
        if type_of(state) == "NumericMetricState"
    }
    found: dict[tuple[str, str], tuple[tuple[bool, int], Metric]] = {}
    ignored = []
    for mds in mdib.iterfind(".//{*}Mds"):
        home = mds.get("Handle") or ""
        for node in mds.iterfind(".//{*}Metric"):
            handle = node.get("Handle") or ""
            if type_of(node) != "NumericMetricDescriptor" or not handle:
                continue
            known = _kind_of(node)
            if known is None or node.get("MetricCategory", "Msrmt") not in _MEASURED:
                ignored.append((plain(handle), "it is not known, or not measured"))
                continue
            kind, place = known
            unit = unit_said(node.find("{*}Unit"))
            if (not unit and kind.unit != "au") or scale_to(unit, kind) is None:
                ignored.append((plain(handle), f"its unit is {unit or 'not said'}"))
                continue
            rank = (not has.get(handle, False), place)
            other = found.get((home, kind.name))
            if other is None or rank < other[0]:
                found[home, kind.name] = rank, Metric(handle, home, kind.name, unit)
                left_out = other and other[1].handle
            else:
                left_out = handle
            if left_out:
                ignored.append((plain(left_out), f"another {kind.title} is preferred"))
    return [metric for _, metric in found.values()], ignored


def first_states(mdib: Node) -> Iterator[Node]:
    """The states of metrics in a description. One with a value of which nobody knows when it was measured is left out:
    it may be of any age."""
    for state in mdib.iterfind(".//{*}MdState/{*}State"):
        if type_of(state) == "NumericMetricState" and _determined_s(state) is not None:
            yield state


def reported_states(message: Node) -> Iterator[Node]:
    """The states of a report of metrics."""
    return iter(message.iterfind(".//{*}MetricState"))


def value(state: Node, metric: Metric, demo: bool = False) -> DeviceValue:
    """What a state says of its metric. Nothing (None) where it is not switched on, not valid, of no quality, a
    demonstration (unless ``demo``), or no number."""
    said = state.find("{*}MetricValue")
    none = DeviceValue(metric.name, None, metric.unit, None)
    if said is None or activation(state) != ON or (is_demo(state) and not demo):
        return none
    quality = said.find("{*}MetricQuality")
    try:
        number = float(said.get("Value") or "nan")
        worth = 1.0 if quality is None else float(quality.get("Qi") or 1.0)
    except ValueError:
        return none
    if quality is None or quality.get("Validity") not in VALID or not worth > 0.0 or not math.isfinite(number):
        return none
    return replace(none, value=number, stamp_s=_determined_s(state))


def _determined_s(state: Node) -> float | None:
    said = state.find("{*}MetricValue")
    try:
        return None if said is None else int(said.get("DeterminationTime") or "") * 1e-3
    except (ValueError, OverflowError):
        return None


def _kind_of(node: Node) -> tuple[Kind, int] | None:
    """The kind that a metric's code says, and which of the kind's codes it is; a code of no known system goes by its
    description, as tracks of files do by their name."""
    coded = node.find("{*}Type")
    if coded is None:
        return None
    codes = {code for pair in mdc_codes(coded) for code in pair} - {-1, ""}
    for kind in kinds().values():
        for place, code in enumerate(kind.mdc):
            if code in codes:
                return kind, place
    if not codes:
        texts = descriptions(coded)
        return next(((k, len(k.mdc)) for k in kinds().values() if named_among(k.tracks, texts)), None)
    return None
