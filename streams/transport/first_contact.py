"""The first word with a Kafka: what is said where nobody is there, nobody answers, or we are not let in.

Later a broker that is away is waited for (:mod:`streams.transport.patient`); at the start an address is as likely to be
wrong as a broker to be down, and a person is there to read it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from socket import gaierror
from typing import Any

from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError

from models.signals.errors import BadInput
from streams.transport.security import Security

ANSWER_S = 15.0
"""What listens there and says nothing for so long is no Kafka; as for every later request."""
LOOK_UP_S = 5.0


async def first_contact(client: Any, bootstrap: str, security: Security) -> None:
    """Starts ``client``, one of aiokafka's; bootstrap: HOST:PORT. Raises BadInput, in one sentence, where there is no
    such host, nobody answers, or we are not let in; the client is closed then."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await client.start()
    except AuthenticationFailedError as error:
        await _close(client)
        raise BadInput(f"to be let in by {bootstrap}", "a refusal", "check the name and password of [sasl]") from error
    except (KafkaConnectionError, TimeoutError) as error:
        await _close(client)
        raise await nobody_answers(bootstrap, security) from error


async def nobody_answers(bootstrap: str, security: Security) -> BadInput:
    """The sentence for a Kafka at ``bootstrap`` that cannot be reached."""
    host = bootstrap.rpartition(":")[0] or bootstrap
    found, first = "no answer", "start it, or "
    with suppress(TimeoutError):
        try:
            async with asyncio.timeout(LOOK_UP_S):
                await asyncio.get_running_loop().getaddrinfo(host, None)
        except gaierror:
            found, first = "no machine of that name", ""
    return BadInput(f"a Kafka broker at {bootstrap}", found, f"{first}check {security.where_said}")


async def _close(client: Any) -> None:
    stop = getattr(client, "stop", None) or client.close  # aiokafka's admin client has no stop
    with suppress(Exception):  # it never began; what matters has been said
        await stop()
