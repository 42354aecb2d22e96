"""Where others may ask a role how it is: ``/metrics`` for Prometheus, ``/healthz``; on loopback unless told otherwise.

Nothing can be changed here, and nothing but these two is answered.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from models.signals.errors import BadInput
from monitor.config_keys import MetricsKeys
from streams.snapshot import Snapshot, unwell

SLOW_CLIENT_S = 5.0
LOOK_S = 0.1


class Watchpoint:
    """Answers from threads of its own until :meth:`close`. read: gives the snapshot of the moment. port 0: any that is
    free, for tests; BadInput where the address cannot be had."""

    def __init__(
        self,
        host: str,
        port: int,
        read: Callable[[], Snapshot],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._read, self._now = read, monotonic_ns
        try:
            self._server = _Server((host, port), self._handler())
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadInput(
                "a free port of this machine in --metrics, at an address of it in [metrics] host",
                f"{host}:{port} ({reason})",
                "choose another",
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": LOOK_S}, name="vigil-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and text of a page."""
        if path == "/metrics":
            from monitor.metrics import CONTENT_TYPE, exposition

            return HTTPStatus.OK, CONTENT_TYPE, exposition(self._read, self._now)
        if path == "/healthz":
            now = self._read()
            reason = unwell(now, self._now())
            said = {"ok": not reason, "role": now.role, "reason": reason}
            status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
            return status, "application/json", json.dumps(said).encode() + b"\n"
        return HTTPStatus.NOT_FOUND, "text/plain", b"There are /metrics and /healthz.\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            timeout = SLOW_CLIENT_S

            def do_GET(self) -> None:
                status, kind, text = answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def version_string(self) -> str:
                return "vigil"

            def log_message(self, format: str, *args: object) -> None:
                """Who asks, and how often, is no news."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away before its answer is no news either."""


@contextmanager
def watched(keys: MetricsKeys, read: Callable[[], Snapshot]) -> Iterator[None]:
    """A role may be asked inside, where the settings name a port."""
    if not keys.port:
        yield
        return
    watchpoint = Watchpoint(keys.host, keys.port, read)
    try:
        yield
    finally:
        watchpoint.close()
