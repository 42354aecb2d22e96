"""A worker that is killed outright: only a real broker notices, by its missing heartbeats."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from streams.transport import Rewind
from tests.transport.harness import Broker, Sink, in_loop, ready, running, sender, until

# Dead after a second rather than ten, so that the test need not wait.
QUICK = {"broker_session_timeout": 1.5, "broker_heartbeat_interval": 0.3, "broker_commit_interval": 0.1}

WORKER = """
    import asyncio, sys
    from streams.transport import Rewind
    from tests.transport.harness import Broker, Sink, ready

    async def main(url, prefix):
        broker = Broker("kafka", url, prefix)
        app = broker.app(partitions=1, **%r)
        Sink(app, broker.topic(app), lambda event: print(event.message.offset, flush=True))
        await app.start()
        await ready(app)
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.kafka
@in_loop
async def test_a_killed_workers_partitions_move_and_its_window_is_warm(kafka_bootstrap, retries_are_no_errors, request):
    broker = Broker("kafka", f"kafka://{kafka_bootstrap}")
    code = textwrap.dedent(WORKER % QUICK)
    async with sender(broker) as send:
        await send.declare("waves", partitions=1)
        worker = subprocess.Popen(
            [sys.executable, "-c", code, broker.url, broker.prefix],
            cwd=request.config.rootpath,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == "ready"
            for i in range(100):
                await send("waves", b"bed-1", b"%d" % i)
            assert [int(worker.stdout.readline()) for _ in range(100)] == list(range(100))
            heir = broker.app(partitions=1, rewind={"waves": Rewind(messages=20)}, **QUICK)
            sink = Sink(heir, broker.topic(heir))
            worker.send_signal(signal.SIGKILL)  # no leave, no last commit
            for i in range(100, 110):
                await send("waves", b"bed-1", b"%d" % i)
            async with running(heir):
                await ready(heir)
                await until(lambda: 109 in sink.offsets, "the heir has caught up")
            # It goes on where the dead one had committed, less the rewind, without a gap.
            assert sink.offsets == list(range(sink.offsets[0], 110))
            assert sink.offsets[0] <= 80
        finally:
            worker.kill()
            worker.wait()
