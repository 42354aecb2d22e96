"""SDC devices for the tests: throw-away authorities, providers in processes of their own, ports of this run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from streams.records import WaveTick
from streams.sources.device import Device
from streams.sources.live import LiveSource
from tests.sources.live.accounts import Account, account, check_grid

PORT = 20_000 + os.getpid() % 20_000
"""Of discovery, so that two runs on one machine do not see each other."""
PATIENCE_S = 30.0


class Provider:
    """``sdc_provider.py`` in a process of its own."""

    def __init__(self, **options: object) -> None:
        options = {"zero_s": time.time() - 1.0, "port": PORT, **options}
        self.zero_s = float(options["zero_s"])  # type: ignore[arg-type]
        script = str(Path(__file__).with_name("sdc_provider.py"))
        self._process = subprocess.Popen(
            [sys.executable, script, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = ""

    def ready(self) -> Provider:
        """Wait until it is there."""
        word, _, self.address = self._line().partition(" ")
        assert word == "ready"
        return self

    def tell(self, *commands: str) -> None:
        """Give commands, and wait until they are obeyed."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()
        for _ in commands:
            assert self._line() == "done"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=PATIENCE_S)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Provider:
        return self.ready()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Bed:
    """A live source of a device, in its thread, and the ticks it has given."""

    def __init__(self, device: Device) -> None:
        self.source = LiveSource(device, "bed", "s")
        self.record = self.source.describe()
        self.ticks: list[WaveTick] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.source.run, args=(self._emit,), daemon=True)
        self._thread.start()

    def _emit(self, tick: WaveTick) -> bool:
        with self._changed:
            self.ticks.append(tick)
            self._changed.notify_all()
        return True

    def until(self, met: Callable[[], object]) -> None:
        """Wait for what ticks show."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(met()), PATIENCE_S), "nothing came"

    def samples(self, count: int) -> Account:
        """Wait until there are so many of the ECG."""
        self.until(lambda: self.source.emitted().get(("ECG", 0), 0) >= count)
        return account(self.ticks, "ECG")

    def __enter__(self) -> Bed:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        check_grid(self.ticks)


def authority(folder: Path, name: str) -> Path:
    """A folder with a throw-away authority, and a key and certificate that it has signed, for both sides of TLS."""
    openssl = shutil.which("openssl")
    assert openssl, "the tests of TLS need openssl"
    where = folder / name
    where.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for arguments in (
        ("req", "-x509", *key, "-keyout", "ca.key", "-out", "cacert.pem", "-subj", f"/CN={name}", "-days", "30"),
        ("req", *key, "-keyout", "userkey.pem", "-out", "user.csr", "-subj", "/CN=rig"),
        (
            *("x509", "-req", "-in", "user.csr", "-CA", "cacert.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", "usercert.pem", "-days", "30"),
        ),
    ):
        subprocess.run([openssl, *arguments], cwd=where, check=True, capture_output=True)
    return where
