"""A worker without a model: speaks the protocol and says what its prompt tells it to.

The last message is `say N [every S] [think] [call] [die N] [hang N] [silent S] [stop W]`: N words
"w0 w1 …", S seconds apart. `die N` kills the process after N words of a request that was not
resumed, `hang N` stops it there, and `hang 0` before the first word each time. `stop W` says that
W ended the answer.
What it is told is written to the file FAKE_WORKER_LOG, one line each.
"""

import base64
import os
import select
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from app import protocol  # noqa: E402
from app.protocol_lines import format_line, parse_line  # noqa: E402
from engine.request import RequestStats  # noqa: E402
from models.errors import InvalidInput, NotFound  # noqa: E402


class Talk:
    """One request being answered."""

    def __init__(self, asked: protocol.Generate) -> None:
        text = asked.messages[-1]["content"] if asked.messages else asked.prompt
        words = text.split()
        after = {word: words[i + 1] for i, word in enumerate(words[:-1])}
        self.asked = asked
        self.text = text
        self.num_words = min(int(after.get("say", 3)), asked.sampling.max_tokens or 10**9)
        self.every_s = float(after.get("every", 0))
        self.die_at = None if asked.resumed_token_ids else after.get("die")
        self.hang_at = None if self.asked.resumed_token_ids else after.get("hang")
        self.due_s = time.monotonic() + float(after.get("silent", 0))
        self.next = len(asked.resumed_token_ids)
        self.thinks = "think" in words
        self.calls = "call" in words

    def word(self) -> protocol.Delta:
        """The next token, with its text."""
        text = f"w{self.next} "
        place = {"thinking": text} if self.thinks and self.next == 0 else {"content": text}
        if self.calls and self.next == self.num_words - 1:
            place = {"tool_calls": [{"name": "f", "arguments": {"x": n}} for n in (1, 2)]}
            place["call_parts"] = list(call_parts())
        if self.asked.sampling.num_logprobs is not None:
            place["logprobs"] = [{"token": text, "bytes": list(text.encode()), "logprob": -0.5}]
        self.next += 1
        return protocol.Delta(self.asked.id, token_ids=[self.next - 1], **place)

    def done(self) -> protocol.Done:
        """The end, with numbers that tests know."""
        is_cut = self.num_words == self.asked.sampling.max_tokens
        stats = RequestStats(11, 5, self.num_words, 4, 2, 0.001, 0.5, 0.25)
        stop = self.text.split("stop ")[1] if "stop " in self.text else ""
        return protocol.Done(self.asked.id, "length" if is_cut else "stop", stats, stop)


def call_parts() -> Iterator[protocol.Json]:
    """What a worker says of two calls that stand in a list: the second begins before its end."""
    for index in (0, 1):
        yield {"index": index, "name": "f", "arguments": '{"x"', "is_last": False}
        yield {"index": index, "name": "", "arguments": f": {index + 1}}}", "is_last": False}
    for index in (0, 1):
        yield {"index": index, "name": "", "arguments": "", "is_last": True}


ENGINE = protocol.Metrics(
    {"num_blocks": 8, "num_free_blocks": 4, "num_cached_blocks": 2, "num_steps": 7}
)
"""Two of eight blocks are in use, always."""


def emit(*events: object) -> None:
    """Write events in one piece."""
    os.write(1, b"".join(map(format_line, events)))


def note(text: str) -> None:
    """Write a line that tests read."""
    if "FAKE_WORKER_LOG" in os.environ:
        with Path(os.environ["FAKE_WORKER_LOG"]).open("a") as log:
            log.write(f"{text}\n")


class FakeWorker:
    """Gives every running request its next word when it is due."""

    def __init__(self) -> None:
        self.talks: dict[str, Talk] = {}
        self.partial = b""

    def run(self) -> None:
        """Until standard input ends."""
        while self.read():
            now_s = time.monotonic()
            for request_id, talk in list(self.talks.items()):
                if now_s >= talk.due_s:
                    self.advance(request_id, talk)

    def read(self) -> bool:
        """Take what the daemon said; wait only while nothing is to be said."""
        wait_s = 0.002 if self.talks else None
        if not select.select([0], [], [], wait_s)[0]:
            return True
        data = os.read(0, 1 << 20)
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.take(parse_line(line))
        return bool(data)

    def take(self, message: object) -> None:
        """One message."""
        if isinstance(message, protocol.Load):
            self.load()
        elif isinstance(message, protocol.Generate):
            self.begin(message)
        elif isinstance(message, protocol.Embed):
            self.embed(message)
        elif isinstance(message, protocol.Tokenize):
            ids = [ord(letter) for letter in message.text]
            pieces = [[token_id] for token_id in ids] if message.with_pieces else []
            emit(protocol.Tokenized(message.id, [1] * message.add_special + ids, pieces))
        elif isinstance(message, protocol.Detokenize):
            emit(protocol.Detokenized(message.id, "".join(map(chr, message.token_ids))))
        elif isinstance(message, protocol.Explain):
            known = protocol.Explained(message.id, message.request_id, "first", 11, 0)
            unknown = protocol.Failed.of(NotFound("no such request"), message.id)
            emit(unknown if "unknown" in message.request_id else known)
        elif isinstance(message, protocol.Abort):
            note(f"abort {message.id}")
            self.talks.pop(message.id, None)
        elif isinstance(message, protocol.Shutdown):
            note("shutdown")
            sys.exit(0)

    def load(self) -> None:
        """As slowly as a test wants it, or not at all."""
        note(f"load {os.getpid()}")
        time.sleep(float(os.environ.get("FAKE_LOAD_S", "0")))
        if os.environ.get("FAKE_LOAD") == "refuse":
            emit(protocol.Failed.of(InvalidInput("this cannot be loaded", hint="try another")))
        elif os.environ.get("FAKE_LOAD") == "die":
            os._exit(3)
        else:
            emit(protocol.Ready(4096, 8192, 1000, 2000, 0.01))

    def embed(self, message: protocol.Embed) -> None:
        """Each text's vector is [its length, 1.0, 0.0]; "never" is never answered."""
        note(f"embed {len(message.texts)}")
        if "never" in message.texts:
            return
        vectors = [struct.pack("<3f", len(text), 1.0, 0.0) for text in message.texts]
        packed = [base64.b64encode(vector).decode() for vector in vectors]
        emit(protocol.Embedded(message.id, packed, sum(map(len, message.texts))))

    def begin(self, message: protocol.Generate) -> None:
        """Start to answer."""
        talk = Talk(message)
        if "too long" in talk.text:
            error = InvalidInput("the prompt has 5000 tokens; the context holds 4096")
            emit(protocol.Failed.of(error, message.id))
            return
        note(f"generate {len(message.resumed_token_ids)}")
        note(f"for {message.client} priority {message.priority}")
        ids = [1, 2, 3] if message.return_prompt_ids else []
        emit(protocol.Started(message.id, 11, ids))
        self.talks[message.id] = talk

    def advance(self, request_id: str, talk: Talk) -> None:
        """One more word, or the end."""
        if talk.hang_at is not None and talk.next == int(talk.hang_at):
            time.sleep(1000)
        if talk.next < talk.num_words:
            emit(talk.word())
            talk.due_s += talk.every_s
        else:
            emit(talk.done(), ENGINE)
            del self.talks[request_id]
        if talk.die_at is not None and talk.next == int(talk.die_at):
            os.kill(os.getpid(), 9)


if __name__ == "__main__":
    FakeWorker().run()
