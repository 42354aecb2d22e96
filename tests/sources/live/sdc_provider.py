"""An SDC device in a process of its own, by the library's provider. ``python sdc_provider.py '{"epr": …}'``.

Sample ``i`` of every wave is taken at ``zero_s + i / rate`` of the wall clock, and its value is ``i``, so a program
that is started anew goes on with the count of its clock. Says ``ready ADDRESS`` once it is there. Lines on standard
input are commands (:meth:`Provider.obey`); their end ends it.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

PM = "http://standards.ieee.org/downloads/11073/11073-10207-2017/participant"
WAVES = {
    "ecg": ("131330", "266418", "0.002"),
    "art": ("150032", "266016", "0.008"),
    "pleth": ("150452", "262656", "0.008"),
    "wedge": ("150052", "266016", "0.008"),
}
"""Handle → code, unit, sample period (s)."""
NUMBERS = {
    "hr": ("147842", "264864"),
    "spo2": ("150456", "262688"),
    "sys": ("150021", "266016"),
    "dia": ("150022", "266016"),
    "temp": ("150344", "266560"),
}
"""Handle → code, unit. The temperature is in degrees Fahrenheit."""


@dataclass
class Options:
    """certs: folder of the device's key and certificates; "" for plain text. beds: Mds, each with all waves.
    mode: what the samples are said to be (Real, Demo). waves: which."""

    zero_s: float
    epr: str = "urn:uuid:00000000-0000-0000-0000-00000000000a"
    certs: str = ""
    port: int = 3702
    adapter: str = "127.0.0.1"
    beds: int = 1
    mode: str = "Real"
    waves: tuple[str, ...] = ("ecg", "art", "pleth", "wedge")
    every_s: float = 0.1


def description(options: Options) -> bytes:
    mds, states = [], []
    for bed in range(options.beds):
        tail = f"-{bed}" if bed else ""
        metrics = "".join(
            f'<pm:Metric xsi:type="pm:RealTimeSampleArrayMetricDescriptor" Handle="{name}{tail}" '
            f'MetricCategory="Msrmt" MetricAvailability="Cont" Resolution="1" SamplePeriod="PT{WAVES[name][2]}S">'
            f'<pm:Type Code="{WAVES[name][0]}"/><pm:Unit Code="{WAVES[name][1]}"/></pm:Metric>'
            for name in options.waves
        )
        numbers = "".join(
            f'<pm:Metric xsi:type="pm:NumericMetricDescriptor" Handle="{name}{tail}" MetricCategory="Msrmt" '
            f'MetricAvailability="Cont" Resolution="1"><pm:Type Code="{code}"/><pm:Unit Code="{unit}"/></pm:Metric>'
            for name, (code, unit) in NUMBERS.items()
        )
        mds.append(
            f'<pm:Mds Handle="mds{tail}"><pm:SystemContext Handle="sc{tail}"><pm:PatientContext Handle="pc{tail}"/>'
            f'<pm:LocationContext Handle="lc{tail}"/></pm:SystemContext>'
            f'<pm:Vmd Handle="vmd{tail}"><pm:Channel Handle="ch{tail}">{metrics}'
            f"{numbers}</pm:Channel></pm:Vmd></pm:Mds>"
        )
        states += [
            f'<pm:State xsi:type="pm:RealTimeSampleArrayMetricState" DescriptorHandle="{name}{tail}"/>'
            for name in options.waves
        ]
        states += [
            f'<pm:State xsi:type="pm:{kind}State" DescriptorHandle="{handle}{tail}"/>'
            for kind, handle in (
                ("Mds", "mds"),
                ("SystemContext", "sc"),
                ("Vmd", "vmd"),
                ("Channel", "ch"),
                *(("NumericMetric", name) for name in NUMBERS),
            )
        ]
        states.append(
            f'<pm:State xsi:type="pm:PatientContextState" DescriptorHandle="pc{tail}" Handle="patient{tail}" '
            f'ContextAssociation="Assoc"/>'
        )
    return (
        f'<msg:GetMdibResponse xmlns:pm="{PM}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xmlns:msg="{PM.replace("participant", "message")}" MdibVersion="1" SequenceId="urn:uuid:1">'
        f'<msg:Mdib MdibVersion="1" SequenceId="urn:uuid:1"><pm:MdDescription>{"".join(mds)}</pm:MdDescription>'
        f"<pm:MdState>{''.join(states)}</pm:MdState></msg:Mdib></msg:GetMdibResponse>"
    ).encode()


class Provider:
    def __init__(self, options: Options) -> None:
        from sdc11073.certloader import mk_ssl_contexts_from_folder
        from sdc11073.mdib.providermdib import ProviderMdib
        from sdc11073.provider.providerimpl import SdcProvider
        from sdc11073.wsdiscovery import WSDiscovery
        from sdc11073.xml_types.dpws_types import ThisDeviceType, ThisModelType

        self.options = options
        self.mdib = ProviderMdib.from_string(description(options))
        self.types = self.mdib.data_model.pm_types
        self.discovery = WSDiscovery(options.adapter, multicast_port=options.port)
        self.discovery.start()
        contexts = mk_ssl_contexts_from_folder(Path(options.certs)) if options.certs else None
        self.provider = SdcProvider(
            self.discovery,
            ThisModelType("Vigil", "http://example.org", "Rig", "1", "http://example.org", "http://example.org"),
            ThisDeviceType("Rig", "1", "1"),
            self.mdib,
            uuid.UUID(options.epr),
            ssl_context_container=contexts,
        )
        self.provider.start_all(start_rtsample_loop=False)
        self.provider.publish()
        self.off: set[str] = set()
        self.validity = "Vld"
        self.annotate: list[tuple[str, int]] = []
        self.stalled = False
        now = time.time()
        self.at = {
            d.Handle: math.ceil((now - options.zero_s) / float(d.SamplePeriod))
            for d in self.mdib.descriptions.objects
            if hasattr(d, "SamplePeriod")
        }

    @property
    def address(self) -> str:
        return self.provider.get_xaddrs()[0]

    def send(self) -> None:
        """What has been sampled since."""
        if self.stalled:
            return
        activation = self.types.ComponentActivation
        with self.mdib.rt_sample_state_transaction() as transaction:
            for handle, first in self.at.items():
                state = transaction.get_state(handle)
                period = float(state.descriptor_container.SamplePeriod)
                after = math.ceil((time.time() - self.options.zero_s) / period)
                self.at[handle] = max(after, first)
                state.MetricValue = None
                state.ActivationState = activation.OFF if handle in self.off else activation.ON
                if handle in self.off or after <= first:
                    continue
                value = state.mk_metric_value()
                value.MetricQuality.Validity = self.types.MeasurementValidity(self.validity)
                value.MetricQuality.Mode = self.types.GenerationMode(self.options.mode)
                value.DeterminationTime = self.options.zero_s + first * period
                value.Samples = [Decimal(i) for i in range(first, after)]
                for at, (text, index) in enumerate(self.annotate):
                    kind = self.types.CodedValue("1", "urn:private")
                    kind.ConceptDescription = [self.types.LocalizedText(text)]
                    value.Annotation.append(self.types.Annotation(kind))
                    value.ApplyAnnotation.append(self.types.ApplyAnnotation(at, index))
        self.annotate = []

    def number(self, handle: str, value: str, validity: str, ago_s: str) -> None:
        """Report a number, determined so long ago; ``-``: without saying when."""
        with self.mdib.metric_state_transaction(set_determination_time=False) as transaction:
            state = transaction.get_state(handle)
            state.MetricValue = None
            said = state.mk_metric_value()
            said.Value = Decimal(value)
            said.MetricQuality.Validity = self.types.MeasurementValidity(validity)
            said.DeterminationTime = None if ago_s == "-" else time.time() - float(ago_s)

    def obey(self, line: str) -> None:
        """``number H VALUE VALIDITY AGO``: :meth:`number`; ``off H``, ``on H``: a wave's activation; ``validity V``;
        ``annotate I TEXT``: the next message's sample I; ``stall``, ``go``; ``patient``: another one; ``describe``:
        another description; ``end``: a clean end."""
        word, _, rest = line.strip().partition(" ")
        if word == "off":
            self.off.add(rest)
        elif word == "on":
            self.off.discard(rest)
        elif word == "validity":
            self.validity = rest
        elif word == "annotate":
            index, _, text = rest.partition(" ")
            self.annotate.append((text, int(index)))
        elif word == "number":
            self.number(*rest.split())
        elif word in ("stall", "go"):
            self.stalled = word == "stall"
        elif word == "patient":
            with self.mdib.context_state_transaction() as transaction:
                transaction.disassociate_all("pc")
                transaction.mk_context_state("pc", set_associated=True)
        elif word == "describe":
            with self.mdib.descriptor_transaction() as transaction:
                transaction.get_descriptor("ecg").Unit = self.types.CodedValue("266419")
        elif word == "end":
            self.provider.stop_all()
            self.discovery.stop()


def main(options: Options) -> None:
    logging.getLogger("sdc").setLevel(logging.WARNING)
    rig = Provider(options)
    print(f"ready {rig.address}", flush=True)
    lines: list[str] = []
    over = threading.Event()

    def commands() -> None:
        for line in sys.stdin:
            lines.append(line)
        over.set()

    threading.Thread(target=commands, daemon=True).start()
    while not over.wait(options.every_s):
        while lines:
            line = lines.pop(0)
            rig.obey(line)
            print("done", flush=True)
            if line.strip() == "end":
                return
        rig.send()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(Options(**{**given, "waves": tuple(given.get("waves", Options.waves))}))
