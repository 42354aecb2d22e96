"""``vigil deadletters list | replay``: the messages that nobody could use, by reason, and sent anew."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.signals.errors import BadInput
from models.signals.plain_text import plain
from monitor.cli_options import Broker, Config, Prefix
from monitor.config import InForce, in_force

if TYPE_CHECKING:
    from streams.transport.dead_letters import DeadLetters, Letters, Replayed

MOST_REASONS = 50

deadletters_app = typer.Typer(
    no_args_is_help=True, help="Messages of a broker that nobody could use: by reason, and sent anew."
)
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@deadletters_app.command("list", epilog="Example: vigil deadletters list --broker kafka://localhost:9092")
def list_letters(broker: Broker = None, prefix: Prefix = None, config: Config = None) -> None:
    """Dead letters by topic and reason, with counts; changes nothing."""
    letters = asyncio.run(_letters(_force(broker, prefix, config)).read())
    for line in table(letters):
        typer.echo(line)


@deadletters_app.command(epilog="Example: vigil deadletters replay --broker kafka://localhost:9092 --yes")
def replay(broker: Broker = None, prefix: Prefix = None, config: Config = None, yes: Yes = False) -> None:
    """Send the messages anew that still lie where their letters say, each once, however often this is called."""
    letters = _letters(_force(broker, prefix, config))
    found = asyncio.run(letters.read())
    waiting = sum(not each.replayed for each in found.kept)
    if not waiting:
        typer.echo("No dead letter waits to be replayed.")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("a yes to sending messages anew", "nobody to ask", "give --yes")
        typer.confirm(f"Send the messages of {waiting} dead letters anew?", abort=True)
    typer.echo(summary(asyncio.run(letters.replay(found.kept))))


def table(letters: Letters) -> list[str]:
    """The letters by topic and reason, the most frequent first."""
    if not letters.kept and not letters.unreadable:
        return ["There are no dead letters."]
    counts, waiting = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for each in letters.kept:
        reason = each.letter.topic, each.letter.reason
        counts[reason] += 1
        waiting[reason] += not each.replayed
    lines = [f"{'letters':>8} {'waiting':>8}  topic: reason"]
    for (topic, words), count in counts.most_common(MOST_REASONS):
        lines.append(f"{count:>8} {waiting[topic, words]:>8}  {plain(topic)}: {plain(words)}")
    if len(counts) > MOST_REASONS:
        lines.append(f"and {len(counts) - MOST_REASONS} other reasons")
    if letters.unreadable:
        lines.append(f"{letters.unreadable} messages there are no letters")
    return lines


def summary(done: Replayed) -> str:
    """What a replay did, in a line."""
    parts = [f"{done.sent} sent anew"]
    for count, words in (
        (done.gone, "not there any more"),
        (done.repeated, "named twice, sent once"),
        (done.refused, "of no topic of this ward"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return ", ".join(parts) + "."


def _force(broker: str | None, prefix: str | None, config: Path | None) -> InForce:
    return in_force(config, {"broker.url": broker, "broker.prefix": prefix})


def _letters(force: InForce) -> DeadLetters:
    from monitor.config_uses import broker_of, sharing_of

    url = broker_of(force)
    from streams.transport.dead_letters import DeadLetters  # aiokafka

    sharing = sharing_of(force)
    return DeadLetters(url.removeprefix("kafka://"), sharing.prefix, sharing.kafka)
