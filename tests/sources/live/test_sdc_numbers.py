"""What an SDC device says in numbers: codes, units, validity, time; without a network."""

from __future__ import annotations

import math
import random
from xml.etree import ElementTree

import pytest

from models.signals.device_numerics import in_unit, kinds
from streams.sources.sdc_numbers import Metric, first_states, metrics, reported_states, value

PM = "http://standards.ieee.org/downloads/11073/11073-10207-2017/participant"
HEAD = f'xmlns="{PM}" xmlns:p="{PM}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
PERCENT, MMHG = '<Unit Code="262688"/>', '<Unit Code="266016"/>'
UCUM = "urn:oid:2.16.840.1.113883.6.8"


def metric(handle: str, kind: str, unit: str, category: str = "Msrmt") -> str:
    return (
        f'<Metric xsi:type="p:NumericMetricDescriptor" Handle="{handle}" MetricCategory="{category}">'
        f"{kind}{unit}</Metric>"
    )


def code(number: int) -> str:
    return f'<Type Code="{number}"/>'


def told(handle: str, number: str = "97", validity: str = "Vld", time: str = "1700000000250") -> str:
    when = f'DeterminationTime="{time}"' if time else ""
    return (
        f'<State xsi:type="p:NumericMetricState" DescriptorHandle="{handle}"><MetricValue Value="{number}" {when}>'
        f'<MetricQuality Validity="{validity}"/></MetricValue></State>'
    )


def mdib(*described: str, states: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(
        f'<Mdib {HEAD}><MdDescription><Mds Handle="mds">{"".join(described)}</Mds></MdDescription>'
        f"<MdState>{states}</MdState></Mdib>"
    )


@pytest.mark.parametrize(
    ("kind", "unit", "name", "given", "want"),
    (
        (code(150456), PERCENT, "spo2", 97.0, 97.0),
        (code(150456), '<Unit Code="262656"/>', "spo2", 0.97, 97.0),
        (code(150021), MMHG, "nibp_sys", 120.0, 120.0),
        (code(150022), '<Unit Code="265987"/>', "nibp_dia", 10.0, 75.0062),  # NIST SP 811: 1 kPa = 7.50062 mmHg
        (code(150023), MMHG, "nibp_map", 90.0, 90.0),
        (code(150301), MMHG, "nibp_sys", 120.0, 120.0),
        (code(150344), '<Unit Code="268192"/>', "temp_c", 36.6, 36.6),
        (code(150372), '<Unit Code="266560"/>', "temp_c", 98.6, 37.0),
        (code(188420), f'<Unit Code="Cel" CodingSystem="{UCUM}"/>', "temp_c", 37.5, 37.5),
        (code(188420), f'<Unit Code="[degF]" CodingSystem="{UCUM}"/>', "temp_c", 98.6, 37.0),
        (code(151708), MMHG, "etco2", 38.0, 38.0),
        (code(151728), '<Unit Code="265987"/>', "etco2", 5.0, 37.5031),
        (code(151708), PERCENT, "etco2", 5.0, 38.0),  # of 760 mmHg
        ('<Type Code="9" SymbolicCodeName="MDC_TEMP_FOLEY"/>', '<Unit Code="268192"/>', "temp_c", 36.6, 36.6),
        ('<Type Code="192590" SymbolicCodeName="MDC_EEG_BISPECTRAL_INDEX"/>', "", "bis", 41.0, 41.0),
        ('<Type Code="7" CodingSystem="urn:acme"><Translation Code="150456"/></Type>', PERCENT, "spo2", 97.0, 97.0),
        ('<Type Code="7" CodingSystem="urn:acme"><ConceptDescription>BIS</ConceptDescription></Type>',
         '<Unit Code="262656"/>', "bis", 41.0, 41.0),
    ),
)  # fmt: skip
def test_a_number_is_what_its_code_says_in_its_unit(kind: str, unit: str, name: str, given: float, want: float) -> None:
    (found,), ignored = metrics(mdib(metric("h", kind, unit)))
    assert (found.handle, found.mds, found.name, ignored) == ("h", "mds", name, [])
    assert in_unit(kinds()[name], given, found.unit) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "unit", "category", "why"),
    (
        (code(147842), '<Unit Code="264864"/>', "Msrmt", "it is not known, or not measured"),  # heart rate
        (code(150388), '<Unit Code="268192"/>', "Msrmt", "it is not known, or not measured"),  # of the skin
        (code(192590), "", "Msrmt", "it is not known, or not measured"),  # a private number: whose?
        (code(150456), PERCENT, "Set", "it is not known, or not measured"),
        ('<Type Code="150456" CodingSystem="urn:acme"/>', PERCENT, "Msrmt", "it is not known, or not measured"),
        ("", PERCENT, "Msrmt", "it is not known, or not measured"),
        (code(150021), '<Unit Code="5" CodingSystem="urn:acme"/>', "Msrmt", "its unit is code 5"),
        (code(150021), "", "Msrmt", "its unit is not said"),
        (code(150344), MMHG, "Msrmt", "its unit is mmHg"),
        (code(150456), MMHG, "Msrmt", "its unit is mmHg"),
    ),
)
def test_what_is_none_of_them_is_left_out_and_said(kind: str, unit: str, category: str, why: str) -> None:
    assert metrics(mdib(metric("h", kind, unit, category))) == ([], [("h", why)])


def test_of_two_probes_the_preferred_one_that_has_a_value_and_no_other() -> None:
    unit = '<Unit Code="268192"/>'
    both = metric("t1", code(150344), unit), metric("core", code(150368), unit)
    for described in (both, both[::-1]):
        for states, want in (
            ("", "core"),
            (told("t1", "36.6") + told("core", "36.9"), "core"),
            (told("t1", "36.6") + told("core", "36.9", "Inv"), "t1"),
        ):
            (found,), ignored = metrics(mdib(*described, states=states))
            assert found.handle == want
            assert ignored == [({"t1": "core", "core": "t1"}[want], "another TEMP is preferred")]


METRIC = Metric("h", "mds", "spo2", "%")


def said(state: str, *, demo: bool = False) -> tuple[float | None, float | None]:
    found = value(ElementTree.fromstring(f"<M {HEAD}>{state}</M>")[0], METRIC, demo)
    assert (found.name, found.unit) == ("spo2", "%")
    return found.value, found.stamp_s


@pytest.mark.parametrize("validity", ("Vld", "Vldated"))
def test_a_valid_value_comes_with_the_time_it_was_determined(validity: str) -> None:
    assert said(told("h", validity=validity)) == (97.0, pytest.approx(1_700_000_000.25))
    assert said(told("h", validity=validity, time="")) == (97.0, None)


@pytest.mark.parametrize("validity", ("Qst", "Inv", "NA", "Ong", "Calib", "Oflw", "Uflw", "x", ""))
def test_what_is_not_valid_is_not_known_whatever_value_it_carries(validity: str) -> None:
    assert said(told("h", validity=validity)) == (None, None)


def test_what_is_off_of_no_quality_a_demonstration_or_no_number_is_not_known() -> None:
    good = told("h")
    for state in (
        good.replace("<State ", '<State ActivationState="NotRdy" '),
        good.replace('Validity="Vld"', 'Validity="Vld" Qi="0"'),
        good.replace('Validity="Vld"', 'Validity="Vld" Qi="x"'),
        good.replace('<MetricQuality Validity="Vld"/>', ""),
        good.replace('Value="97"', ""),
        '<State DescriptorHandle="h"/>',
        *(told("h", number) for number in ("x", "NaN", "INF", "1e999", "")),
    ):
        assert said(state) == (None, None)
    demo = good.replace('Validity="Vld"', 'Validity="Vld" Mode="Demo"')
    assert said(demo) == (None, None) and said(demo, demo=True)[0] == 97.0
    for time in ("x", "9" * 400, "-"):
        assert said(told("h", time=time)) == (97.0, None)


def test_of_the_description_only_values_with_a_time_count() -> None:
    tree = mdib(metric("a", code(150456), PERCENT), states=told("a", time="") + told("b") + "<State/>")
    assert [state.get("DescriptorHandle") for state in first_states(tree)] == ["b"]
    state = told("a").replace("<State", "<MetricState").replace("</State", "</MetricState")
    report = f"<R {HEAD}><ReportPart>{state}</ReportPart></R>"
    assert [s.get("DescriptorHandle") for s in reported_states(ElementTree.fromstring(report))] == ["a"]


def test_a_mangled_message_is_not_known_and_never_an_error() -> None:
    chance = random.Random(7)
    whole = f"<M {HEAD}>{told('h')}</M>"
    first, read = whole.index("<MetricValue"), 0
    for _ in range(2000):
        text = list(whole)
        for _ in range(chance.randint(1, 4)):
            text[chance.randrange(first, len(text))] = chance.choice('0123456789eE.- "<>/=aNn')
        try:
            tree = ElementTree.fromstring("".join(text))
        except ElementTree.ParseError:
            continue
        for state in tree:
            read += 1
            found = value(state, METRIC)
            assert found.value is None or math.isfinite(found.value)
            assert found.stamp_s is None or math.isfinite(found.stamp_s)
    assert read > 300
