"""How a process shows a Kafka who it is, and makes sure of whom it talks to: TLS, SASL, both or neither.

The same choice is handed to whoever talks to the broker: Faust's consumer and producer as credentials
(:func:`credentials`), aiokafka's own clients as keyword arguments (:func:`client_options`).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.signals.errors import BadInput

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

SYSTEM = "system"
"""As the authority: those that the machine trusts."""

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class Tls:
    """ca: the file of the authorities that may have signed the broker's certificate, or "system". certificate, key:
    this process's own, where the broker asks for one."""

    ca: str
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For a client: the broker's name and certificate are checked. BadInput names the file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca == SYSTEM else self.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("certificates of authorities", self.ca, error) from error
        if self.certificate is not None:
            try:
                # A key with a passphrase would otherwise be asked for on the terminal.
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            except (OSError, ssl.SSLError) as error:
                where = self.certificate if self.key is None else f"{self.certificate} and {self.key}"
                raise _unusable("a certificate and its key without a passphrase", str(where), error) from error
        return context


@dataclass(frozen=True, slots=True)
class Sasl:
    """A name and its password."""

    username: str
    password: str = field(repr=False)
    mechanism: Mechanism = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Security:
    """What a broker asks for; neither is a plain connection."""

    tls: Tls | None = None
    sasl: Sasl | None = None

    @property
    def protocol(self) -> str:
        """Kafka's word for it.

        >>> Security(Tls("system")).protocol
        'SSL'
        """
        word = "SSL" if self.tls is not None else "PLAINTEXT"
        return word if self.sasl is None else f"SASL_{word}"

    @property
    def where_said(self) -> str:
        """Where the way to the broker is said: what to look at where it does not answer.

        >>> Security(Tls("system")).where_said
        'the address in --broker or [broker] url, and [tls]'
        """
        parts = [name for name, used in (("[tls]", self.tls), ("[sasl]", self.sasl)) if used is not None]
        return ", and ".join(["the address in --broker or [broker] url", *([" and ".join(parts)] if parts else [])])


def credentials(security: Security) -> CredentialsT | None:
    """For ``broker_credentials`` of a Faust app; None for a plain connection."""
    if security.tls is None and security.sasl is None:
        return None
    from faust.auth import SASLCredentials, SSLCredentials

    context = security.tls.context() if security.tls is not None else None
    if security.sasl is None:
        return SSLCredentials(context)
    sasl = security.sasl
    return SASLCredentials(
        username=sasl.username, password=sasl.password, mechanism=sasl.mechanism, ssl_context=context
    )


def client_options(security: Security) -> dict[str, Any]:
    """Keyword arguments of aiokafka's consumer, producer and admin client."""
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if security.tls is not None:
        options["ssl_context"] = security.tls.context()
    if security.sasl is not None:
        options["sasl_mechanism"] = security.sasl.mechanism
        options["sasl_plain_username"] = security.sasl.username
        options["sasl_plain_password"] = security.sasl.password
    return options


def _unusable(what: str, where: str, error: Exception) -> BadInput:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
    return BadInput(f"{what} in [tls]", f"{where} ({reason})", "give a PEM file that can be read")
