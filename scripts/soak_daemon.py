"""A daemon under rough use: many streams, clients that leave or read slowly, workers killed.

Every stream that stays must end with exactly the text it would have had alone, no cache block may
be lost, and memory must stay flat. Exits with 1 where one of these does not hold.

    python scripts/soak_daemon.py --seconds 120 --streams 64 --kill-every 20
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = (
    "Repeat exactly: the quick brown fox jumps over the lazy dog 1234567890",
    "How do I pull a model?",
    "What is the capital of France?",
    "Say hello to Ada and Grace.",
    "How much memory do I need?",
    "My name is Tom. What is my name?",
    "What is 7 times 8?",
    "Which command lists the models?",
)
MAX_GROWTH_BYTES = 32 << 20
BEHAVIOURS = ("stay", "stay", "stay", "stay", "leave", "slow")


@dataclass(frozen=True)
class Ask:
    """One request whose answer depends on nothing but itself."""

    prompt: str
    seed: int
    num_predict: int

    @property
    def body(self) -> bytes:
        """The body of `/api/chat`."""
        options = {"seed": self.seed, "temperature": 0.8, "num_predict": self.num_predict}
        messages = [{"role": "user", "content": self.prompt}]
        return json.dumps({"model": "pocket", "messages": messages, "options": options}).encode()


@dataclass
class Report:
    """What happened."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    daemon_rss_bytes: list[int] = field(default_factory=list)
    num_kills: int = 0
    num_lost_blocks: int = -1

    @property
    def growth_bytes(self) -> int:
        """Of the daemon, from the second quarter of the time to the last."""
        quarter = max(len(self.daemon_rss_bytes) // 4, 1)
        early = self.daemon_rss_bytes[quarter : 2 * quarter] or self.daemon_rss_bytes
        late = self.daemon_rss_bytes[-quarter:]
        return int(statistics.median(late) - statistics.median(early))

    @property
    def failures(self) -> list[str]:
        """What should not have happened."""
        found = self.wrong[:10]
        if self.num_lost_blocks:
            found.append(f"{self.num_lost_blocks} cache blocks were lost")
        if self.growth_bytes > MAX_GROWTH_BYTES:
            found.append(f"the daemon grew by {self.growth_bytes >> 20} MiB")
        if not self.counts["stay"]:
            found.append("no stream that stayed came to its end")
        return found


@asynccontextmanager
async def running_daemon(home: Path) -> AsyncIterator[tuple[int, int]]:
    """A private daemon: its process id and port. It ends with the block."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LOCALLLM_", "OLLAMA_"))}
    with (home / "daemon.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "localllm.py"), "serve", "--private"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**environ, "LOCALLLM_HOME": str(home)},
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.pid, int(json.loads(await process.stdout.readline())["port"])
    finally:
        process.stdin.close()
        await process.wait()


async def stream_chat(port: int, ask: Ask) -> AsyncIterator[dict[str, Any]]:
    """The chunks of an answer; leaving the loop closes the connection."""
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that a slow reader is one
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=own)
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(ask.body)}\r\n\r\n"
    writer.write(head.encode() + ask.body)
    try:
        while (await reader.readline()).strip():
            pass
        while size := int(await reader.readline(), 16):
            lines = await reader.readexactly(size + 2)
            for line in lines.splitlines():
                if line:
                    yield json.loads(line)
    finally:
        writer.close()


async def read_text(port: int, ask: Ask, pause_s: float = 0.0, leave_after: int = 0) -> str | None:
    """The whole text; None where the client left. Raises RuntimeError when an error came."""
    text, num_chunks = "", 0
    chunks = stream_chat(port, ask)
    try:
        async for chunk in chunks:
            if "error" in chunk:
                raise RuntimeError(chunk["error"])
            text += chunk["message"]["content"]
            num_chunks += 1
            if chunk["done"]:
                return text
            if leave_after and num_chunks >= leave_after:
                return None
            await asyncio.sleep(pause_s)
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]
    raise RuntimeError("the stream ended before its answer")


async def use(port: int, expected: dict[Ask, str], rng: random.Random, report: Report) -> None:
    """One client after the other, until cancelled."""
    while True:
        ask, behaviour = rng.choice([*expected]), rng.choice(BEHAVIOURS)
        pause_s = rng.uniform(0.02, 0.1) if behaviour == "slow" else 0.0
        leave_after = rng.randint(1, 20) if behaviour == "leave" else 0
        try:
            text = await read_text(port, ask, pause_s, leave_after)
        except (RuntimeError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            report.wrong.append(f"{behaviour}: {ask}: {error!r}")
            continue
        report.counts["left" if text is None else behaviour] += 1
        if text is not None and text != expected[ask]:
            report.wrong.append(f"{behaviour}: {ask}: {text!r} is not {expected[ask]!r}")


async def kill_workers(daemon_pid: int, every_s: float, report: Report) -> None:
    """Every so often, a worker dies."""
    while True:
        await asyncio.sleep(every_s)
        for pid in children(daemon_pid):
            os.kill(pid, signal.SIGKILL)
            report.num_kills += 1


async def watch_memory(daemon_pid: int, report: Report) -> None:
    """Sample the daemon's memory."""
    while True:
        report.daemon_rss_bytes.append(rss_bytes(daemon_pid))
        await asyncio.sleep(0.5)


def children(pid: int) -> list[int]:
    """Processes that `pid` started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def count_lost_blocks(port: int) -> int:
    """Blocks of an idle worker that are neither free nor cached."""
    await read_text(port, Ask(PROMPTS[0], 1, 4))
    await asyncio.sleep(2.0)  # the worker tells its counts when it falls idle
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    lines = (await reader.read()).decode().splitlines()
    writer.close()
    prefix = "localllm_"
    values = {
        line.removeprefix(prefix).partition("{")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(prefix)
    }
    assert not values["requests_running"] + values["requests_waiting"]
    num_idle = values["kv_cache_free_blocks"] + values["kv_cache_prefix_blocks"]
    return int(values["kv_cache_blocks"] - num_idle)


async def soak(seconds: float, num_streams: int, kill_every_s: float, seed: int = 1) -> Report:
    """Do it."""
    rng, report = random.Random(seed), Report()
    asks = [Ask(p, rng.randrange(1000), rng.randrange(20, 90)) for p in PROMPTS for _ in range(2)]
    with tempfile.TemporaryDirectory() as home:
        async with running_daemon(Path(home)) as (pid, port):
            expected = {ask: await read_text(port, ask) or "" for ask in asks}
            users = [use(port, expected, random.Random(n), report) for n in range(num_streams)]
            others = [kill_workers(pid, kill_every_s, report), watch_memory(pid, report)]
            tasks = [asyncio.create_task(each) for each in (*users, *others)]
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            report.wrong += [repr(e) for e in ends if not isinstance(e, asyncio.CancelledError)]
            report.num_lost_blocks = await count_lost_blocks(port)
    return report


def main() -> None:
    """Print the report; exit with 1 when something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--kill-every", type=float, default=20.0)
    given = parser.parse_args()
    begun_s = time.monotonic()
    report = asyncio.run(soak(given.seconds, given.streams, given.kill_every))
    took_s = time.monotonic() - begun_s
    print(f"{dict(report.counts)} answers, {report.num_kills} workers killed, in {took_s:.0f} s")
    first, last = report.daemon_rss_bytes[0] >> 20, report.daemon_rss_bytes[-1] >> 20
    print(
        f"daemon: {first} MiB at first, {last} MiB at last; lost blocks: {report.num_lost_blocks}"
    )
    for failure in report.failures:
        print(f"WRONG  {failure}")
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
