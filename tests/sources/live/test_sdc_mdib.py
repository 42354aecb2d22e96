"""What an SDC device says, in Vigil's words: codes, names, units, samples; without a network."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import numpy as np
import pytest

from streams.sources.device import DeviceChannel
from streams.sources.sdc_mdib import activation, another_patient, block, described, is_demo, patients, states

PM = "http://standards.ieee.org/downloads/11073/11073-10207-2017/participant"
HEAD = f'xmlns="{PM}" xmlns:p="{PM}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
CHANNEL = DeviceChannel("ecg/ECG_II", "mV", 500.0, "ECG")


def metric(handle: str, kind: str, unit: str = '<Unit Code="266418"/>', period: str = "PT0.002S") -> str:
    return (
        f'<Metric xsi:type="p:RealTimeSampleArrayMetricDescriptor" Handle="{handle}" SamplePeriod="{period}">'
        f"{kind}{unit}</Metric>"
    )


def channels(*metrics: str) -> list[tuple[str, str, float, str]]:
    tree = ElementTree.fromstring(f'<Mdib {HEAD}><Mds Handle="mds">{"".join(metrics)}</Mds></Mdib>')
    return [(w.channel.name, w.channel.unit, w.channel.rate_hz, w.channel.declared) for w in described(tree).waves]


@pytest.mark.parametrize(
    ("kind", "declared", "label"),
    (
        ('<Type Code="131330"/>', "ECG", "ECG_II"),  # 2::258
        ('<Type Code="131392"/>', "ECG", "ECG_AVF"),
        ('<Type Code="131074" CodingSystem="urn:oid:1.2.840.10004.1.1.1.0.0.1"/>', "ECG", "ECG_II"),  # 2::2
        ('<Type Code="131331"/>', "ECG", "ECG_V1"),
        ('<Type Code="150036"/>', "ABP", "ABP"),
        ('<Type Code="150044"/>', "PAP", "PAP"),
        ('<Type Code="150084"/>', "CVP", "CVP"),
        ('<Type Code="153608"/>', "ICP", "ICP"),
        ('<Type Code="151792"/>', "AWP", "AWP"),
        ('<Type Code="151724"/>', "CO2", "CO2"),
        ('<Type Code="150052"/>', "other", "h"),  # wedge: not what the artery's row shows
        ('<Type Code="150452"/>', "PPG", "PLETH"),
        ('<Type Code="153900"/>', "EEG", "EEG"),
        ('<Type Code="151780"/>', "RESP", "IMPEDANCE_RESP"),
        ('<Type Code="MDC_ECG_ELEC_POTL_V5"/>', "ECG", "ECG_V5"),
        ('<Type Code="9" SymbolicCodeName="MDC_PRESS_BLD_ART_FEMORAL"/>', "ABP", "FEM"),
        ('<Type Code="9" SymbolicCodeName="MDC_PRESS_BLD_ART_PULM_WEDGE"/>', "other", "PAWP"),
        ('<Type Code="9" SymbolicCodeName="MDC_PRESS_BLD_ART_PULM"/>', "PAP", "PAP"),
        ('<Type Code="9" SymbolicCodeName="MDC_PRESS_INTRA_CRAN"/>', "ICP", "ICP"),
        # a code of another system means nothing, unless it is translated
        ('<Type Code="131330" CodingSystem="urn:acme"/>', "", "h"),
        ('<Type Code="7" CodingSystem="urn:acme"><Translation Code="150452"/></Type>', "PPG", "PLETH"),
        # nothing is coded: a name that is known, in English first, or the handle
        ('<Type Code="7" CodingSystem="urn:acme"><ConceptDescription Lang="de">Kurve</ConceptDescription>'
         '<ConceptDescription Lang="en">Pleth</ConceptDescription></Type>', "", "Pleth"),
        ('<Type Code="150016"><ConceptDescription>ART</ConceptDescription></Type>', "", "ART"),
        ("", "", "h"),
    ),
)  # fmt: skip
def test_a_wave_is_what_its_code_says_or_else_its_name(kind: str, declared: str, label: str) -> None:
    assert channels(metric("h", kind)) == [(f"h/{label}", "mV", 500.0, declared)]


@pytest.mark.parametrize(
    ("unit", "is_"),
    (
        ('<Unit Code="266419"/>', "uV"),
        ('<Unit Code="266016"/>', "mmHg"),
        ('<Unit Code="265987"/>', "kPa"),
        ('<Unit Code="262656"/>', "1"),
        ('<Unit Code="MDC_DIM_MILLI_VOLT"/>', "mV"),
        ('<Unit Code="0" SymbolicCodeName="MDC_DIM_MICRO_VOLT"/>', "uV"),
        ('<Unit Code="mm[Hg]" CodingSystem="urn:oid:2.16.840.1.113883.6.8"/>', "mm[Hg]"),
        (
            '<Unit Code="5" CodingSystem="urn:acme"><ConceptDescription>millivolt</ConceptDescription></Unit>',
            "millivolt",
        ),
        ('<Unit Code="5" CodingSystem="urn:acme"/>', "code 5"),  # not known: not taken for the usual one
        ("", ""),
    ),
)
def test_units_are_those_of_the_code_or_the_text(unit: str, is_: str) -> None:
    assert [c[1] for c in channels(metric("h", '<Type Code="131330"/>', unit))] == [is_]


def test_rates_names_and_what_cannot_be_taken() -> None:
    ecg = '<Type Code="131330"/>'
    assert [c[2] for c in channels(metric("h", ecg, period="PT0.0078125S"))] == [128.0]
    assert [c[0] for c in channels(metric("a/b", ecg), metric("a-b", ecg))] == ["a-b/ECG_II", "a-b/ECG_II (2)"]
    tree = ElementTree.fromstring(
        f'<Mdib {HEAD}><Mds Handle="mds">{metric("slow", ecg, period="PT1S")}{metric("no", ecg, period="x")}'
        '<Metric xsi:type="p:NumericMetricDescriptor" Handle="n"/></Mds></Mdib>'
    )
    found = described(tree)
    assert found.waves == ()
    assert found.ignored == (("slow", "its rate is 1 Hz"), ("no", "it has no rate"))


def state(value: str, activated: str = "On") -> ElementTree.Element:
    tree = f'<M {HEAD}><State DescriptorHandle="ecg" ActivationState="{activated}">{value}</State></M>'
    return next(states(ElementTree.fromstring(tree)))


GOOD = (
    '<MetricValue DeterminationTime="1700000000250" Samples="1 2.5 -3">'
    '<MetricQuality Validity="{}" {}/>{}</MetricValue>'
)


def test_samples_and_the_time_of_the_last_one() -> None:
    found = block(state(GOOD.format("Vld", "", "")), CHANNEL)
    assert found is not None and found.channel == "ecg/ECG_II" and found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, [1.0, 2.5, -3.0])
    assert found.stamps_s is not None
    np.testing.assert_allclose(found.stamps_s, [1_700_000_000.254], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("validity", "more", "good"), (
    ("Vld", "", True), ("Vldated", "", True), ("Qst", 'Qi="0.2"', True), ("Vld", 'Qi="0"', False),
    ("Inv", "", False), ("NA", "", False), ("Ong", "", False), ("Calib", "", False),
    ("Oflw", "", False), ("x", "", False),
))  # fmt: skip
def test_what_is_not_valid_is_missing(validity: str, more: str, good: bool) -> None:
    found = block(state(GOOD.format(validity, more, "")), CHANNEL)
    assert found is not None
    assert np.isfinite(found.values).all() if good else np.isnan(found.values).all()


def test_an_annotation_spoils_a_sample_only_where_it_says_so() -> None:
    notes = (
        '<Annotation><Type Code="1" SymbolicCodeName="MDC_EVT_LEADS_OFF"/></Annotation>'
        '<Annotation><Type Code="2"><ConceptDescription>pacer pulse</ConceptDescription></Type></Annotation>'
        '<ApplyAnnotation AnnotationIndex="0" SampleIndex="1"/><ApplyAnnotation AnnotationIndex="1" SampleIndex="2"/>'
        '<ApplyAnnotation AnnotationIndex="9" SampleIndex="0"/><ApplyAnnotation AnnotationIndex="0" SampleIndex="9"/>'
    )
    found = block(state(GOOD.format("Vld", "", notes)), CHANNEL)
    assert found is not None
    np.testing.assert_array_equal(found.values, [1.0, np.nan, -3.0])


def test_what_is_off_or_cannot_be_read_is_no_block() -> None:
    assert block(state(GOOD.format("Vld", "", ""), "StndBy"), CHANNEL) is None
    assert activation(state("", "Fail")) == "Fail" and block(state(""), CHANNEL) is None
    for samples in ("", "1 two", "1;2"):
        assert block(state(f'<MetricValue Samples="{samples}"/>'), CHANNEL) is None
    assert block(state(f'<MetricValue Samples="1" DeterminationTime="{"9" * 400}"/>'), CHANNEL) is None
    huge = block(state('<MetricValue Samples="1e99"/>'), CHANNEL)
    assert huge is not None and huge.stamps_s is None  # LiveSource makes NaN of what is not finite
    assert is_demo(state(GOOD.format("Vld", 'Mode="Demo"', ""))) and not is_demo(state(GOOD.format("Vld", "", "")))


def test_another_patient_is_another_state_or_other_identifiers() -> None:
    def said(*rows: tuple[str, str, str]) -> dict[str, tuple[str, frozenset[str]]]:
        text = "".join(
            f'<State xsi:type="p:PatientContextState" DescriptorHandle="pc" Handle="{handle}" ContextAssociation="{a}">'
            f"{f'<Identification Extension={chr(34)}{i}{chr(34)}/>' if i else ''}</State>"
            for handle, a, i in rows
        )
        return patients(ElementTree.fromstring(f"<M {HEAD}>{text}</M>"), frozenset(("pc",)))

    one = said(("a", "Assoc", ""))
    assert not another_patient(one, said(("a", "Assoc", "17")))
    assert another_patient(said(("a", "Assoc", "17")), said(("a", "Assoc", "18")))
    assert another_patient(one, said(("a", "Dis", ""))) and another_patient({}, one)
    assert another_patient(one, said(("a", "Dis", ""), ("b", "Assoc", "")))
    assert not another_patient(one, said(("a", "Assoc", ""), ("b", "Pre", "")))


def test_a_mangled_message_is_left_out_and_never_an_error() -> None:
    chance = random.Random(7)
    notes = '<Annotation><Type Code="1"/></Annotation><ApplyAnnotation AnnotationIndex="0" SampleIndex="1"/>'
    whole = f'<M {HEAD}><State DescriptorHandle="ecg" ActivationState="On">{GOOD.format("Vld", "", notes)}</State></M>'
    first = whole.index("<State")
    read = 0
    for _ in range(3000):
        text = list(whole)
        for _ in range(chance.randint(1, 4)):
            text[chance.randrange(first, len(text))] = chance.choice('0123456789eE.- "<>/=aNn')
        try:
            tree = ElementTree.fromstring("".join(text))
        except ElementTree.ParseError:
            continue
        for found in states(tree):
            read += 1
            made = block(found, CHANNEL)
            assert made is None or (made.values.ndim == 1 and len(made.values) > 0)
    assert read > 300
