"""IEEE 11073 SDC in: waves and numbers of a networked medical device (11073-20702, -10207, -20701; by sdc11073).

``sdc:`` takes the one device that WS-Discovery finds and names them if there are several; ``sdc:epr=URN`` that one, and
``sdc:address=https://…`` one that need not be found. Besides, with commas between:

* ``cert=FOLDER``: this machine's key, certificate and the authority that signed the device's, as ``userkey.pem``,
  ``usercert.pem`` and ``cacert.pem``; or ``tls=off``, said aloud, for plain text.
* ``mds=HANDLE`` where one device watches several patients, ``adapter=IP`` to look for it on one network only, and
  ``demo=on`` to take what the device itself calls a demonstration or a test.

The device pushes waves to a listener that is opened here for it, on the address by which it is reached; with TLS only
holders of a certificate of the authority get a word in. What its codes mean is said in
:mod:`streams.sources.sdc_mdib` and :mod:`streams.sources.sdc_numbers`. Stamps are on the device's wall clock. A wave
that is switched off is a gap. Another description, a subscription that ends, or silence, is a lost device, and so is
another patient, with whom a new session of the bed begins (:class:`streams.sources.device.AnotherPatient`). It is
looked for again: the same one (its EPR), also where another answers first. To connect takes longer than a source may
wait for it, so it is done in a thread, which goes on between calls of ``open`` and gives up by itself when none comes.

sdc11073 is an extra, loaded when it is needed.
"""

from __future__ import annotations

import difflib
import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from models.signals.errors import BadInput
from models.signals.plain_text import plain
from streams.sources.device import AnotherPatient, Block, DeviceChannel, DeviceLost, DeviceValue
from streams.sources.sdc_link import LISTED, Library, Link, load_sdc, same_epr, tls_contexts, why
from streams.sources.sdc_mdib import Patients, another_patient

SCHEME = "sdc:"
KEYS = ("epr", "address", "cert", "tls", "mds", "adapter", "demo")
LOOK_S = 3.0
"""So long devices are listened for. A probe and its answer may each take half a second, by the standard."""
SILENT_S = 3.0
KEEP_S = 30.0  # a connection that nobody takes is given up


@dataclass(frozen=True, slots=True)
class DeviceSaid:
    """What discovery says of a device: its endpoint reference, which stays, and where it is reached now."""

    epr: str
    address: str

    def __str__(self) -> str:
        return f"epr={plain(self.epr)} (at {plain(self.address) or 'no address'})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the words of a source ask for; see the module."""

    epr: str = ""
    address: str = ""
    cert: str = ""
    tls: str = ""
    mds: str = ""
    adapter: str = ""
    demo: str = ""


def sdc_wanted(spec: str) -> Wanted:
    """``"sdc:epr=urn:uuid:1,tls=off"`` → what is wanted; BadInput for anything else."""
    found: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in spec.removeprefix(SCHEME).split(","))):
        key, equals, value = (p.strip() for p in part.partition("="))
        if not (equals and value) or key not in KEYS or key in found:
            near = difflib.get_close_matches(key, KEYS, n=1)
            remedy = f"did you mean {near[0]}=…?" if near and key not in KEYS else "write them that way"
            raise BadInput("sdc:" + ",".join(f"{k}=…" for k in KEYS) + " (each once, any of them)", repr(part), remedy)
        found[key] = value
    wanted = Wanted(**found)
    scheme = urlsplit(wanted.address).scheme
    if wanted.address and (scheme not in ("http", "https") or not urlsplit(wanted.address).netloc):
        raise BadInput("sdc:address=https://HOST:PORT/PATH", repr(wanted.address), "write it that way")
    for key, value, right in (("tls", wanted.tls, "off"), ("demo", wanted.demo, "on")):
        if value not in ("", right):
            raise BadInput(f"sdc:{key}={right}, or nothing", repr(value), "write it that way")
    if wanted.cert and wanted.tls:
        raise BadInput("sdc:cert=FOLDER or sdc:tls=off", "both", "give one of them")
    _check_scheme(wanted, wanted.address)
    if wanted.adapter:
        try:
            ipaddress.IPv4Address(wanted.adapter)
        except ValueError as error:
            raise BadInput(
                "sdc:adapter=IP, an IPv4 address of this machine", repr(wanted.adapter), "write it that way"
            ) from error
    return wanted


def sdc_devices(wait_s: float = LOOK_S, adapter: str = "", port: int | None = None) -> list[DeviceSaid]:
    """The devices that answer a WS-Discovery probe within ``wait_s``, on one network or on all of this machine.

    port: of multicast, where it is not the standard's (for tests).
    """
    return _look(load_sdc(), wait_s, adapter, port)


class SdcDevice:
    """A :class:`streams.sources.device.Device` of the SDC device that ``spec`` names."""

    def __init__(
        self, spec: str = SCHEME, *, look_s: float = LOOK_S, silent_s: float = SILENT_S, port: int | None = None
    ) -> None:
        self._wanted, self._look_s, self._silent_s, self._port = sdc_wanted(spec), look_s, silent_s, port
        which = self._wanted.epr or self._wanted.address
        self.name = f"SDC {which}" if which else "SDC"
        self._known = self._wanted
        self._attempt: _Attempt | None = None
        self._link: Link | None = None
        self._patients: Patients | None = None  # as the link before saw them last
        self.ignored: tuple[tuple[str, str], ...] = ()

    def open(self, timeout_s: float) -> Sequence[DeviceChannel]:
        """Finds the device, connects and subscribes; see the module. DeviceLost where that is not done in time: it
        goes on, and the next call has what has come of it."""
        deadline = time.monotonic() + timeout_s
        self.close()
        attempt = self._attempt
        if attempt is None or not attempt.kept():
            attempt = self._attempt = _Attempt(self._connect)
        link = attempt.take(max(deadline - time.monotonic(), 0.0))
        if link is None:
            raise DeviceLost(f"{self.name} has not answered yet.")
        self._attempt = None
        if isinstance(link, BaseException):
            raise link
        before, self._patients = self._patients, link.patients
        if before is not None and another_patient(before, link.patients):
            link.close()
            raise AnotherPatient(f"{self.name} has another patient than before it was lost.")
        link.begin()
        self._link = link
        # What was found once is looked for from now on, and nothing else: another device is another patient.
        self._known = replace(self._wanted, epr=link.epr, mds=link.mds)
        self.ignored = link.described.ignored
        return link.channels

    def read(self, timeout_s: float) -> list[Block | DeviceValue]:
        """What has been pushed since. AnotherPatient for that; DeviceLost for another description, the end of the
        subscription, or silence."""
        if self._link is None:
            raise DeviceLost(f"{self.name} is not open.")
        return self._link.read(timeout_s)

    def close(self) -> None:
        """Unsubscribes. Connecting that is under way goes on for the next ``open``, or is given up."""
        link, self._link = self._link, None
        if link is not None:
            self._patients = link.patients
            link.close()

    def _connect(self) -> Link:
        library, wanted = load_sdc(), self._known
        if wanted.address:
            said = DeviceSaid(wanted.epr, wanted.address)
        else:
            said = _chosen(_look(library, self._look_s, wanted.adapter, self._port), wanted)
        _check_tls(wanted, said)
        contexts = tls_contexts(library, wanted.cert) if wanted.cert else None
        return Link(
            library,
            said.address,
            contexts,
            epr=wanted.epr,
            mds=wanted.mds,
            demo=wanted.demo == "on",
            silent_s=self._silent_s,
        )


class _Attempt:
    """Connecting, in a thread: what comes of it is taken once, or given up after ``KEEP_S``."""

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect, self._lock = connect, threading.Lock()
        self._done, self._taken = threading.Event(), threading.Event()
        self._result: Link | BaseException | None = None
        self._given_up = False
        threading.Thread(target=self._run, name="vigil-sdc-connect", daemon=True).start()

    def kept(self) -> bool:
        """Whether something may still come of it."""
        with self._lock:
            return not self._given_up

    def take(self, timeout_s: float) -> Link | BaseException | None:
        """What has come of it within ``timeout_s``: a link, an error, or None for nothing yet."""
        if not self._done.wait(timeout_s):
            return None
        with self._lock:
            if self._given_up:
                return None
            self._taken.set()
            return self._result

    def _run(self) -> None:
        try:
            self._result = self._connect()
        except BaseException as error:  # noqa: BLE001
            self._result = error  # raised by `open`, in its thread
        self._done.set()
        if not self._taken.wait(KEEP_S):
            with self._lock:
                self._given_up = not self._taken.is_set()
            if self._given_up and isinstance(self._result, Link):
                self._result.close()


def _look(library: Library, wait_s: float, adapter: str, port: int | None) -> list[DeviceSaid]:
    """Devices that answer; all of the time is waited, since another patient's may be the last."""
    there = [str(a.ip) for a in library.network.get_adapters()]
    if adapter and adapter not in there:
        raise BadInput("sdc:adapter=IP, an address of this machine", repr(adapter), f"it has {', '.join(there)}")
    addresses = [adapter] if adapter else [a for a in there if not ipaddress.ip_address(a).is_loopback] or there
    options = {} if port is None else {"multicast_port": port}
    found: dict[str, DeviceSaid] = {}
    failed: list[BaseException] = []

    def listen(address: str, done: threading.Event) -> None:
        try:
            with library.discovery.WSDiscovery(address, **options) as discovery:
                for service in discovery.search_sdc_services(timeout=wait_s, repeat_probe_interval=max(wait_s, 1.0)):
                    found[service.epr] = DeviceSaid(service.epr, next(iter(service.x_addrs), ""))
                done.set()  # its end takes a second or two, and nobody waits for it
        except OSError as error:  # a network without multicast
            failed.append(error)
        finally:
            done.set()

    looked = [threading.Event() for _ in addresses]
    for address, done in zip(addresses, looked, strict=True):
        threading.Thread(target=listen, args=(address, done), name="vigil-sdc-look", daemon=True).start()
    for done in looked:
        done.wait()
    if failed and len(failed) == len(addresses):
        raise DeviceLost(f"Devices cannot be looked for ({why(failed[0])}); sdc:address=https://… needs no looking.")
    return sorted(found.values(), key=str)


def _chosen(there: list[DeviceSaid], wanted: Wanted) -> DeviceSaid:
    fit = [said for said in there if said.address and (not wanted.epr or same_epr(wanted.epr, said.epr))]
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise BadInput("one SDC device", _listing(fit), f"name one, such as sdc:epr={fit[0].epr}")
    raise BadInput(
        f"the SDC device {plain(wanted.epr)}" if wanted.epr else "an SDC device",
        _listing(there) if there else "none that answers on this network",
        "name one of these" if there else "is it switched on, or can you give sdc:address=https://…?",
    )


def _check_tls(wanted: Wanted, said: DeviceSaid) -> None:
    """Refuses to talk plain text that nobody asked for."""
    if not wanted.cert and not wanted.tls:
        raise BadInput(
            "sdc:cert=FOLDER with this machine's key and certificate, or sdc:tls=off for plain text",
            f"neither, for {said}" if said.epr else f"neither, for {plain(said.address)}",
            "say which",
        )
    _check_scheme(wanted, said.address)


def _check_scheme(wanted: Wanted, address: str) -> None:
    plain_text = urlsplit(address).scheme == "http"
    if wanted.cert and plain_text:
        raise BadInput("TLS, since sdc:cert is given", f"the plain address {address}", "say sdc:tls=off if you mean it")
    if wanted.tls == "off" and address and not plain_text:
        raise BadInput("plain text, since sdc:tls=off is given", f"the address {address}", "give sdc:cert=FOLDER")


def _listing(devices: Sequence[DeviceSaid]) -> str:
    more = f" and {len(devices) - LISTED} more" if len(devices) > LISTED else ""
    return "; ".join(map(str, devices[:LISTED])) + more
