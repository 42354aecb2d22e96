"""The app's side of the wire: messages out from any thread, records in, dead letters."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from models.signals.errors import VigilError
from streams.codec import DecodeError, decode, encode
from streams.host import clock_offset_ns, taken_over, this_host
from streams.records import AnyRecord, DeadLetter, PredictionRecord, WaveTick

if TYPE_CHECKING:
    from faust.types import EventT

    from streams.app import CrashingApp

_HEAD_BYTES = 64
REMEMBERED_MESSAGES, REMEMBERED_BYTES = 512, 8 << 20


class DecodedMessages:
    """The newest messages, decoded: two agents read each one, and the second finds it done.

    Its records are shared, so nobody may change one. At most ``messages`` of at most ``size`` bytes together.
    """

    def __init__(self, messages: int = REMEMBERED_MESSAGES, size: int = REMEMBERED_BYTES) -> None:
        self._most, self._most_bytes = messages, size
        self._records: OrderedDict[bytes, AnyRecord] = OrderedDict()
        self.size = 0
        """Bytes of the messages that are remembered; a record takes about as much again."""

    def __len__(self) -> int:
        return len(self._records)

    def read(self, message: bytes | None) -> AnyRecord:
        """The record in ``message``; DecodeError as :func:`streams.codec.decode`."""
        if not message:
            return decode(message)
        record = self._records.get(message)
        if record is None:
            record = self._records[message] = decode(message)
            self.size += len(message)
            while len(self._records) > self._most or self.size > self._most_bytes:
                oldest, _ = self._records.popitem(last=False)
                self.size -= len(oldest)
        return record


@dataclass(slots=True)
class Wire:
    """The app's side of the wire: records in and out, and dead letters."""

    session: str
    outbox: Outbox
    decoded: DecodedMessages = field(default_factory=DecodedMessages)

    def read(self, event: EventT[Any], *, owner: bool) -> AnyRecord | None:
        """The event's record; None for one that cannot be read, which its ``owner`` puts among the dead letters."""
        try:
            record = self.decoded.read(event.message.value)
            if isinstance(record, WaveTick | PredictionRecord) and record.host not in ("", this_host()):
                return taken_over(record, this_host(), clock_offset_ns())
            return record
        except DecodeError as error:
            if owner:
                self.refuse(event, error)
            return None

    def refuse(self, event: EventT[Any], error: VigilError) -> None:
        """Put the event's message among the dead letters."""
        message = event.message
        value: bytes = message.value or b""
        letter = DeadLetter(
            bed=(message.key or b"?")[:32].decode("utf-8", "replace") or "?",
            session=self.session,
            epoch=0,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=str(error)[:1000],
            size=len(value),
            head=value[:_HEAD_BYTES],
        )
        self.outbox.post("deadletters", letter.bed, encode(letter))


SHARED = ("vitals", "predictions", "alarms")
"""Topics on which one worker of those that share the beds speaks for a bed: what one says late may be wrong by then.
Predictions come from another thread than what the ticks gave: who has taken the bed over tells what it does not find
told, so what is still in hand then goes nowhere."""


class Outbox:
    """Messages from any thread to the app's producer, in order; and how many the broker has yet to take."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes, bytes]] = deque()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = False
        self._under_way = 0
        self._lost: int | None = None
        self.dead_letters = 0
        """That were posted."""

    def post(self, topic: str, bed: str, message: bytes) -> None:
        """From any thread; before the app runs it is kept, after its end it goes nowhere."""
        self._messages.append((topic, bed.encode(), message))
        self.dead_letters += topic == "deadletters"
        loop, news = self._loop, self._news
        if loop is None or news is None or self._woken or loop.is_closed():
            return
        self._woken = True  # one wake-up serves all messages until the pump looks again
        loop.call_soon_threadsafe(news.set)

    @property
    def waiting(self) -> int:
        """Messages that the producer has not taken yet."""
        return len(self._messages)

    @property
    def pumping(self) -> bool:
        """Whether what is posted is handed to the producer."""
        return self._loop is not None

    @property
    def undelivered(self) -> int:
        """Messages that the broker has not taken, as far as anybody knows."""
        return len(self._messages) + self._under_way + (self._lost or 0)

    def give_up(self) -> None:
        """Failed deliveries are counted from now on, and take nothing down."""
        self._lost = 0

    async def pump(self, app: CrashingApp) -> None:
        """Hand everything to the producer until cancelled."""
        self._news, self._loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            while True:
                self._woken = False
                while self._messages:
                    topic, key, message = self._messages.popleft()
                    await self.deliver(app, topic, key, message, found_later=topic == "predictions")
                await self._news.wait()
                self._news.clear()
        finally:
            self._loop = None

    async def deliver(
        self, app: CrashingApp, topic: str, key: bytes, message: bytes, *, found_later: bool = False
    ) -> None:
        """Send one raw message; a delivery that fails later takes the app down. found_later: as of ``app.may_say``."""
        if topic in SHARED and not await app.may_say(key, found_later=found_later):
            return
        self._under_way += 1
        # Counted until it is done, or for good: who is cancelled while it waits for room has not delivered it.
        sent: Any = await app.producer.send(app.prefix + topic, key, message, None, None, None)
        if sent.done():
            self._done(app, sent)
            sent.result()
        else:
            sent.add_done_callback(partial(self._done, app))

    def _done(self, app: CrashingApp, sent: asyncio.Future[Any]) -> None:
        self._under_way -= 1
        error = None if sent.cancelled() else sent.exception()
        if sent.cancelled() or (error is not None and self._lost is not None):
            self._lost = (self._lost or 0) + 1
        elif error is not None:
            app.add_future(app.crash(error))
