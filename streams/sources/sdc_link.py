"""A connection to one SDC device: TLS, a subscription to its waves and numbers, and what it pushes; by sdc11073.

Of the library the consumer is used, which connects, listens and subscribes, but not its mirror of the MDIB, which makes
several Python objects of every sample: messages are read by :mod:`streams.sources.sdc_mdib` and
:mod:`streams.sources.sdc_numbers`. sdc11073 is loaded when it is needed, and by name.
"""

from __future__ import annotations

import importlib
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.signals.errors import BadInput
from models.signals.install import install_hint
from models.signals.plain_text import plain
from streams.sources import sdc_mdib, sdc_numbers
from streams.sources.device import SLACK_S, AnotherPatient, Block, DeviceChannel, DeviceLost, DeviceValue
from streams.sources.sdc_mdib import Patients

FILES = ("userkey.pem", "usercert.pem", "cacert.pem")
SOCKET_S = 5
CLOSE_S = 1.0
MOST_BLOCKS = 4096
MOST_EARLY = 64
LISTED = 12

log = logging.getLogger("vigil.sdc")


@dataclass(frozen=True, slots=True)
class Library:
    """The modules of sdc11073 that are used."""

    certificates: Any
    consumer: Any
    definitions: Any
    discovery: Any
    dispatch: Any
    network: Any
    observe: Any


def load_sdc() -> Library:
    """sdc11073, loaded now; BadInput with what to do where it is missing."""
    try:
        names = ("certloader", "consumer.consumerimpl", "definitions_sdc", "wsdiscovery", "dispatch", "network")
        found = [importlib.import_module(f"sdc11073.{name}") for name in (*names, "observableproperties")]
    except ImportError as error:
        raise BadInput(
            "sdc11073 for IEEE 11073 SDC", f"none that loads ({why(error)})", f"install it with: {install_hint('sdc')}"
        ) from error
    root = logging.getLogger("sdc")
    if not root.handlers:  # what the library complains of, with tracebacks, is told here in sentences
        root.addHandler(_Demoted())
        root.propagate = False
    return Library(*found)


class _Demoted(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s: %s", record.name, plain(record.getMessage(), 400))


def tls_contexts(library: Library, folder: str) -> Any:
    """TLS as the library wants it. Both sides show a certificate of the authority in ``cacert.pem``."""
    where, expected = Path(folder).expanduser(), "sdc:cert=FOLDER with " + ", ".join(FILES)
    missing = [name for name in FILES if not (where / name).is_file()]
    if missing:
        raise BadInput(expected, f"no {', '.join(missing)} in {where}", "put them there")

    def no_password() -> str:
        raise BadInput(f"a key without a password in {where / FILES[0]}", "one with", "take the password off")

    try:
        return library.certificates.mk_ssl_contexts_from_folder(where, *FILES, ssl_passwd=no_password)
    except (ssl.SSLError, OSError) as error:
        raise BadInput(expected, f"{where}, which cannot be used ({why(error)})", "check these files") from error


class Link:
    """A connection to the device at ``address``, made now: what it has, and the blocks it has pushed. The library calls
    it from its threads.

    contexts: of :func:`tls_contexts`, None for plain text. epr: the device must have this one, where given. mds: its
    handle, where the device has several. demo: whether demonstrations count as measured. silent_s: so long without a
    message means that the device is gone. Raises BadInput and DeviceLost.
    """

    def __init__(
        self,
        library: Library,
        address: str,
        contexts: Any,
        *,
        epr: str = "",
        mds: str = "",
        demo: bool = False,
        silent_s: float = 3.0,
    ) -> None:
        self._silent_s, self._demo = silent_s, demo
        self._changed = threading.Condition()
        self._blocks: deque[Block | DeviceValue] = deque(maxlen=MOST_BLOCKS)
        self._metrics: dict[str, sdc_numbers.Metric] = {}
        self._metrics_at = 0
        self._newest: dict[str, DeviceValue] = {}
        self._early_metrics: deque[Any] = deque(maxlen=MOST_EARLY)
        self._waves: dict[str, DeviceChannel] = {}
        self._activation: dict[str, str] = {}
        self._demo_told: set[str] = set()
        self._early: deque[tuple[Callable[[Any], None], Any]] = deque(maxlen=MOST_EARLY)
        self._sequence: str | None = None
        self._lost = ""
        self.patients: Patients = {}
        """As they were last told, while it was connected."""
        self.with_another = False
        """Whether it was lost since the device is with another patient."""
        self._heard_s = time.monotonic()
        definitions = library.definitions.SdcV1Definitions
        components = library.consumer.default_components_factory()
        # The library's own dispatcher has a thread that never ends; what is done here is short.
        components.action_dispatcher_class = library.dispatch.RequestDispatcher
        consumer = self._consumer = library.consumer.SdcConsumer(
            address,
            definitions,
            contexts,
            validate=False,  # a device that strays from the schema is read as far as it goes
            components=components,
            socket_timeout=SOCKET_S,
            force_ssl_connect=contexts is not None,
        )
        consumer.set_used_compression()  # none: nothing can swell up
        actions = definitions.Actions
        heard = {
            *(actions.Waveform, actions.EpisodicContextReport, actions.DescriptionModificationReport),
            *(actions.EpisodicMetricReport, actions.PeriodicMetricReport),
        }
        library.observe.bind(
            consumer,
            waveform_report=self._on_waves,
            episodic_metric_report=self._on_metrics,
            periodic_metric_report=self._on_metrics,
            episodic_context_report=self._on_context,
            description_modification_report=self._on_description,
            subscription_end_data=self._on_end,
        )
        try:
            consumer.start_all(not_subscribed_actions=[a for a in actions if a not in heard])
            self.epr = consumer.host_description.relationship.Host.EndpointReference.Address or epr
            if epr and not same_epr(epr, self.epr):
                raise BadInput(f"the SDC device {plain(epr)}", f"epr={plain(self.epr)} there", "name the one you mean")
            answer = consumer.get_service_client.get_mdib()
            self._describe(answer.p_msg.msg_node, mds)
            version = answer.mdib_version_group
            self._sequence = version.sequence_id
            changed = [*self._early, *((self._on_metrics, message) for message in self._early_metrics)]
            for late, message in changed:  # while the description was on its way
                if message.mdib_version_group.mdib_version > version.mdib_version:
                    late(message)
            if not consumer.is_connected:
                raise DeviceLost(f"{plain(address)} does not take a subscription.")
        except (BadInput, DeviceLost):
            self._stop()
            raise
        except Exception as error:
            self._stop()
            raise _explained(error, address, contexts is not None) from error
        self.channels = list(self._waves.values())

    def begin(self) -> None:
        """From now on samples count; what has come so far is of before. Numbers are as they are, but for one of which
        nobody knows how long it has been so."""
        with self._changed:
            self._blocks.clear()
            known = (said for said in self._newest.values() if said.value is None or said.stamp_s is not None)
            self._blocks.extend(known)
            self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> list[Block | DeviceValue]:
        """All that has come, in order."""
        with self._changed:
            if not self._blocks and not self._lost:
                self._changed.wait(timeout_s)
            blocks = list(self._blocks)
            self._blocks.clear()
            if blocks:
                return blocks
            if not self._lost and not self._consumer.is_connected:
                self._lost = "The device has ended the subscription."
            silent_s = time.monotonic() - self._heard_s
            all_off = all(self._activation.get(handle, sdc_mdib.ON) != sdc_mdib.ON for handle in self._waves)
            if not self._lost and not all_off and silent_s > self._silent_s:
                self._lost = f"No wave for {self._silent_s:g} s."
            if self._lost:
                raise (AnotherPatient if self.with_another else DeviceLost)(self._lost)
        return []

    def close(self) -> None:
        """Ends the subscription, and the rest (a second or two) behind the caller's back. Of a device that does not
        answer any more nothing is waited for."""
        done = threading.Event()
        threading.Thread(target=self._stop, args=(done,), name="vigil-sdc-close", daemon=True).start()
        done.wait(0.5 * SLACK_S if self._lost else CLOSE_S)

    def _stop(self, unsubscribed: threading.Event | None = None) -> None:
        with suppress(Exception):
            if self._consumer.subscription_mgr is not None:
                self._consumer.subscription_mgr.unsubscribe_all()
        if unsubscribed is not None:
            unsubscribed.set()
        with suppress(Exception):
            self._consumer.stop_all(unsubscribe=False)
        # Its parts hold each other, and megabytes of schema, until Python looks for rings: a link that comes and goes
        # would pile them up.
        vars(self._consumer).clear()

    def _describe(self, answer: Any, mds: str) -> None:
        self.described = found = sdc_mdib.described(answer)
        for handle, why in found.ignored:
            log.info("not taken: %s: %s", handle, why)
        metrics, ignored = sdc_numbers.metrics(answer)
        if ignored:
            log.info("not taken: %s", "; ".join(f"{handle} ({why})" for handle, why in ignored[:LISTED]))
        homes = sorted({wave.mds for wave in found.waves})
        if mds and mds not in homes:
            raise BadInput(f"an Mds {mds!r} with waves", _names(homes), "name one of these")
        if not homes:
            raise BadInput("an SDC device with waves", "none in its description", "choose another device")
        if not mds and len(homes) > 1:
            raise BadInput(
                "one Mds with waves",
                _names(homes),
                f"name one, such as sdc:mds={homes[0]}, since two may be two patients",
            )
        self.mds = mds or homes[0]
        self._contexts = found.patients.get(self.mds, frozenset())
        self.patients = sdc_mdib.patients(answer, self._contexts)
        self._metrics = {metric.handle: metric for metric in metrics if metric.mds == self.mds}
        self._take_values(sdc_numbers.first_states(answer))
        with self._changed:
            self._waves = {wave.handle: wave.channel for wave in found.waves if wave.mds == self.mds}

    def _on_waves(self, message: Any) -> None:
        if self._lost or self._other_sequence(message):
            return  # what comes after another patient is another patient's
        blocks = []
        for state in sdc_mdib.states(message.p_msg.msg_node):
            handle = state.get("DescriptorHandle")
            channel = self._waves.get(handle)
            if channel is None:
                continue
            self._tell_activation(handle, channel, sdc_mdib.activation(state))
            found = sdc_mdib.block(state, channel)
            if found is None:
                continue
            if not self._demo and sdc_mdib.is_demo(state):
                if handle not in self._demo_told:
                    self._demo_told.add(handle)
                    log.warning("%s is a demonstration, and left out; sdc:demo=on takes it", channel.name)
                found.values[:] = np.nan
            blocks.append(found)
        with self._changed:
            self._heard_s = time.monotonic()
            self._blocks.extend(blocks)
            self._changed.notify_all()

    def _on_metrics(self, message: Any) -> None:
        with self._changed:
            if not self._waves:  # apart from what else is early, which they are more than
                self._early_metrics.append(message)
                return
        if self._lost or self._other_sequence(message):
            return
        version = message.mdib_version_group.mdib_version
        with self._changed:  # one that was early may be looked at behind a newer one
            newer, self._metrics_at = version >= self._metrics_at, max(version, self._metrics_at)
        if newer:
            self._take_values(sdc_numbers.reported_states(message.p_msg.msg_node))

    def _take_values(self, states: Iterable[Any]) -> None:
        found = []
        for state in states:
            metric = self._metrics.get(state.get("DescriptorHandle"))
            if metric is not None:
                found.append(sdc_numbers.value(state, metric, self._demo))
        with self._changed:
            self._newest |= {value.name: value for value in found}
            self._blocks.extend(found)
            self._changed.notify_all()

    def _tell_activation(self, handle: str, channel: DeviceChannel, now: str) -> None:
        if self._activation.get(handle, sdc_mdib.ON) != now:
            log.warning("%s is %s", channel.name, "on again" if now == sdc_mdib.ON else f"off ({plain(now)})")
        self._activation[handle] = now

    def _on_context(self, message: Any) -> None:
        if self._is_early(self._on_context, message) or self._other_sequence(message):
            return
        with self._changed:
            if self._lost:
                return  # with whom it is now is seen when it has been found again
            before, self.patients = (
                self.patients,
                self.patients | sdc_mdib.patients(message.p_msg.msg_node, self._contexts),
            )
            self.with_another = sdc_mdib.another_patient(before, self.patients)
        if self.with_another:
            self._lose("The device has another patient.")

    def _on_description(self, message: Any) -> None:
        if not self._is_early(self._on_description, message):
            self._lose("The device has changed what it sends.")

    def _on_end(self, end: Any) -> None:
        self._lose("The device has ended the subscription.")

    def _is_early(self, handler: Callable[[Any], None], message: Any) -> bool:
        """Whether nothing is described yet: then it is kept for later."""
        with self._changed:
            if not self._waves:
                self._early.append((handler, message))
            return not self._waves

    def _other_sequence(self, message: Any) -> bool:
        """Whether the device has begun anew: nothing of its description holds any more."""
        version = message.mdib_version_group
        if self._sequence is None or version is None or version.sequence_id == self._sequence:
            return False
        self._lose("The device has begun anew.")
        return True

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost = self._lost or why
            self._changed.notify_all()


def _explained(error: BaseException, address: str, tls: bool) -> BadInput | DeviceLost:
    """The library's error as a sentence: a certificate is for the user to mend, all else may pass."""
    cause: BaseException | None = error
    while cause is not None:
        # A device that refuses our certificate may hang up before it has said so.
        if tls and isinstance(cause, (ssl.SSLError, ConnectionResetError, BrokenPipeError)):
            return BadInput(
                f"a device that accepts this machine's certificate and shows one of the authority in {FILES[2]}",
                f"{why(cause)} at {plain(address)}",
                "are these the files for this device?",
            )
        cause = cause.__cause__ or cause.__context__
    return DeviceLost(f"{plain(address)} does not answer as an SDC device does: {why(error)}.")


def same_epr(one: str, other: str) -> bool:
    """Whether two endpoint references are the same, ``urn:uuid:`` or not.

    >>> same_epr("urn:uuid:AB", "ab")
    True
    """
    return one.strip().lower().removeprefix("urn:uuid:") == other.strip().lower().removeprefix("urn:uuid:")


def _names(handles: Sequence[str]) -> str:
    return ", ".join(plain(handle) for handle in handles[:LISTED]) or "none"


def why(error: BaseException) -> str:
    """What an error says, on one line."""
    said = str(error) or str(getattr(error, "reason", ""))
    return plain(" ".join(said.split()).rstrip("."), 200) or type(error).__name__
