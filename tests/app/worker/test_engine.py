"""Requests and answers around an engine that says what the test wrote."""

import base64
import struct
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.protocol import (
    Abort,
    Delta,
    Detokenize,
    Detokenized,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    Progress,
    Tokenize,
    Tokenized,
)
from app.worker.engine import WorkerEngine
from engine.embedding import EmbedOutput
from engine.request import (
    Grammar,
    Request,
    RequestStats,
    SamplingParams,
    StepOutput,
    TokenLogprob,
)
from engine.text.chat_template import ChatTemplate
from models.errors import InvalidInput

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
THINKING_TEMPLATE = TEMPLATE + "{% if enable_thinking %}<think>{% endif %}"
BOS = 1


class Letters:
    """One token for each character; 1 begins a text, 0 ends an answer."""

    bos_token_id = BOS
    eos_token_ids = frozenset({0})
    vocab_size = 0x110000

    def encode(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        assert parse_special
        return [BOS] * add_special + [ord(letter) for letter in text]

    def decode(self, token_ids: Any) -> str:
        return "".join(map(chr, token_ids))

    def token_bytes(self, token_id: int) -> bytes:
        return chr(token_id).encode()

    def token_id(self, text: str) -> int | None:
        return ord(text) if len(text) == 1 else None

    def is_special(self, token_id: int) -> bool:
        return token_id < 2


@dataclass
class Vectors:
    """An embedder whose vectors are [length, last token]; a text of token 13 fails."""

    pooling: str = "last"
    jobs: list[tuple[str, Any]] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    @property
    def has_unfinished(self) -> bool:
        return bool(self.jobs)

    def add(self, request_id: str, texts: Any) -> None:
        self.jobs.append((request_id, texts))

    def abort(self, request_id: str) -> None:
        self.jobs = [job for job in self.jobs if job[0] != request_id]

    def step(self) -> list[EmbedOutput]:
        request_id, texts = self.jobs[0]
        if texts == [[13]]:
            self.jobs.pop()
            return [EmbedOutput(request_id, 1, error=InvalidInput("not a number"))]
        if request_id not in self.told:
            self.told.add(request_id)
            return [EmbedOutput(request_id, 1)]
        self.jobs.pop(0)
        vectors = tuple(np.array([len(text), text[-1]], np.float32) for text in texts)
        return [EmbedOutput(request_id, sum(map(len, texts)), vectors)]


@dataclass
class Script:
    """An engine that answers each request with `free`, or `held` under a grammar."""

    free: str = ""
    held: str = ""
    chunk: int = 1
    limits: Any = field(default_factory=lambda: SimpleNamespace(max_context_tokens=1000))
    requests: list[Request] = field(default_factory=list)
    running: dict[str, tuple[Request, list[int]]] = field(default_factory=dict)

    @property
    def has_unfinished(self) -> bool:
        return bool(self.running)

    def add_request(self, request: Request) -> None:
        if request.grammar is not None and request.grammar.text == "bad":
            raise InvalidInput("no such grammar")
        self.requests.append(request)
        text = self.free if request.grammar is None else self.held
        said = text[self.num_said(request) :]
        ids = [ord(letter) for letter in said][: request.sampling.max_tokens]
        self.running[request.id] = (request, ids)

    def num_said(self, request: Request) -> int:
        """How much of its text an earlier request has said."""
        prompt = "".join(map(chr, request.prompt_token_ids))
        text = self.free if request.grammar is None else self.held
        said = prompt.rpartition("[assistant]")[2].removeprefix("<think>")
        if request.grammar is not None:
            return request.num_resumed_tokens
        return len(said) if text.startswith(said) else 0

    def step(self) -> list[StepOutput]:
        outputs = []
        for request_id, (request, ids) in list(self.running.items()):
            now, rest = ids[: self.chunk], ids[self.chunk :]
            self.running[request_id] = (request, rest)
            reason = None if rest else "stop"
            stats = None if rest else self.stats(request)
            if not rest:
                del self.running[request_id]
            logprobs = tuple(TokenLogprob(i, -1.0, ((i, -1.0),)) for i in now)
            asked = request.sampling.num_logprobs is not None
            outputs.append(
                StepOutput(
                    request_id,
                    tuple(now),
                    logprobs if asked else (),
                    finish_reason=reason,
                    stats=stats,
                )
            )
        return outputs

    def stats(self, request: Request) -> RequestStats:
        return RequestStats(len(request.prompt_token_ids), 2, 10, 0, 0, 0.1, 0.2, 0.3)

    def abort(self, request_id: str) -> StepOutput | None:
        found = self.running.pop(request_id, None)
        if found is None:
            return None
        stats = self.stats(found[0])
        return StepOutput(request_id, finish_reason="abort", stats=stats)


def make(script: Script, template: str = TEMPLATE) -> WorkerEngine:
    model: Any = SimpleNamespace(
        engine=script,
        tokenizer=Letters(),
        chat_template=ChatTemplate(template, bos_token="\x01"),
        embedder=Vectors(),
        info=SimpleNamespace(name="letters"),
    )
    return WorkerEngine(model)


def ask(text: str = "hi", **fields: Any) -> Generate:
    return Generate("a", messages=[{"role": "user", "content": text}], **fields)


def run(engine: WorkerEngine, asked: Generate) -> list[Event]:
    events = engine.take(engine.prepare(asked))
    while not engine.is_idle:
        events += engine.step()
    return events


def content(events: list[Event]) -> str:
    return "".join(event.content for event in events if isinstance(event, Delta))


def thinking(events: list[Event]) -> str:
    return "".join(event.thinking for event in events if isinstance(event, Delta))


def output_ids(events: list[Event]) -> list[int]:
    return [i for event in events if isinstance(event, Delta) for i in event.token_ids]


@pytest.mark.parametrize("chunk", [1, 3])
def test_an_answer_is_started_told_and_done(chunk: int) -> None:
    script = Script(free="hello world", chunk=chunk)
    started, *rest, done = run(make(script), ask())
    assert "".join(map(chr, script.requests[0].prompt_token_ids)) == "\x01[user]hi\n[assistant]"
    assert started.num_prompt_tokens == len(script.requests[0].prompt_token_ids)
    assert content(rest) == "hello world"
    assert output_ids(rest) == [ord(letter) for letter in "hello world"]
    assert isinstance(done, Done)
    assert done.finish_reason == "stop"


def test_a_stop_string_ends_the_answer_before_it() -> None:
    script = Script(free="one two three", chunk=4)
    events = run(make(script), ask(stop=["tw"]))
    assert content(events) == "one "
    assert events[-1].finish_reason == "stop"
    assert "".join(map(chr, output_ids(events))) == "one tw"


def test_resumed_output_is_not_told_again() -> None:
    resumed = [ord(letter) for letter in "hello w"]
    script = Script(free="hello world")
    events = run(make(script), ask(resumed_token_ids=resumed))
    assert content(events) == "orld"
    assert script.requests[0].num_resumed_tokens == len(resumed)
    assert events[-1].stats.num_output_tokens == 10 + len(resumed)
    assert events[-1].stats.num_prompt_tokens == events[0].num_prompt_tokens


def test_output_that_was_complete_needs_no_engine() -> None:
    resumed = [ord(letter) for letter in "hello"]
    for changes, reason in (
        ({"sampling": SamplingParams(max_tokens=5)}, "length"),
        ({"stop": ["lo"]}, "stop"),
    ):
        script = Script(free="hello world")
        _, done = run(make(script), ask(resumed_token_ids=resumed, **changes))
        assert (done.finish_reason, script.requests) == (reason, [])


def test_a_thought_is_free_and_the_answer_is_held_to_the_grammar() -> None:
    script = Script(free="let me see</think>\n\nSure: {", held='{"a": 1}', chunk=2)
    events = run(make(script, THINKING_TEMPLATE), ask(think=True, grammar=Grammar("json")))
    assert thinking(events) == "let me see"
    assert content(events) == '{"a": 1}'
    free, held = script.requests
    assert (free.grammar, held.grammar) == (None, Grammar("json"))
    assert "".join(map(chr, held.prompt_token_ids)).endswith("<think>let me see</think>\n\n")
    assert "".join(map(chr, output_ids(events))) == 'let me see</think>\n\n{"a": 1}'


def test_a_thought_that_never_ends_is_closed_before_the_answer() -> None:
    script = Script(free="hm", held="{}")
    events = run(make(script, THINKING_TEMPLATE), ask(think=True, grammar=Grammar("json")))
    assert (thinking(events).strip(), content(events)) == ("hm", "{}")
    assert "".join(map(chr, script.requests[1].prompt_token_ids)).endswith("hm\n</think>\n\n")


def test_a_model_that_answers_at_once_begins_again_inside_the_grammar() -> None:
    script = Script(free="Sure", held="{}")
    events = run(make(script, THINKING_TEMPLATE), ask(grammar=Grammar("json")))
    assert (thinking(events), content(events)) == ("", "{}")
    assert script.requests[1].prompt_token_ids == script.requests[0].prompt_token_ids


def test_without_a_thought_the_grammar_holds_from_the_start() -> None:
    script = Script(free="no", held="{}")
    events = run(make(script, THINKING_TEMPLATE), ask(think=False, grammar=Grammar("json")))
    assert content(events) == "{}"
    assert [request.grammar for request in script.requests] == [Grammar("json")]


@pytest.mark.parametrize("num_told", [0, 4, 14, 18, 20])
def test_a_thought_and_its_answer_can_be_resumed_anywhere(num_told: int) -> None:
    asked = ask(think=True, grammar=Grammar("json"))
    script = Script(free="let me</think>{", held='{"a": 1}')
    whole = run(make(script, THINKING_TEMPLATE), asked)
    told, ids = [], []
    for event in whole:
        if isinstance(event, Delta) and len(ids) < num_told:
            told.append(event)
            ids += event.token_ids
    again = ask(think=True, grammar=Grammar("json"), resumed_token_ids=ids)
    rest = run(make(script, THINKING_TEMPLATE), again)
    assert thinking(told) + thinking(rest) == thinking(whole) == "let me"
    assert content(told) + content(rest) == content(whole) == '{"a": 1}'


def test_logprobs_name_their_tokens() -> None:
    script = Script(free="é")
    events = run(make(script), ask(sampling=SamplingParams(num_logprobs=1)))
    (entry,) = events[1].logprobs
    assert (entry["token"], entry["bytes"], entry["logprob"]) == ("é", [0xC3, 0xA9], -1.0)
    assert entry["top_logprobs"] == [{"token": "é", "logprob": -1.0, "bytes": [0xC3, 0xA9]}]


def test_an_unfinished_assistant_message_is_continued() -> None:
    script = Script(free="x")
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am"}]
    run(make(script), Generate("a", messages=turns))
    prompt = "".join(map(chr, script.requests[0].prompt_token_ids))
    assert prompt == "\x01[user]hi\n[assistant]I am"


def test_a_context_goes_before_the_prompt_with_one_start_token() -> None:
    script = Script(free="x")
    run(make(script), ask(prompt_token_ids=[BOS, 65, 66]))
    prompt = "".join(map(chr, script.requests[0].prompt_token_ids))
    assert prompt == "\x01AB[user]hi\n[assistant]"


def test_num_ctx_bounds_prompt_and_answer() -> None:
    script = Script(free="x" * 500)
    with pytest.raises(InvalidInput, match="tokens"):
        make(script).prepare(ask("long " * 30, max_context_tokens=40))
    events = run(make(script), ask(max_context_tokens=40))
    assert len(content(events)) == 40 - events[0].num_prompt_tokens


def test_a_verbatim_prompt_is_not_parsed() -> None:
    script = Script(free="<think>x")
    events = run(make(script, THINKING_TEMPLATE), Generate("a", prompt="once"))
    assert content(events) == "<think>x"
    assert script.requests[0].prompt_token_ids == (BOS, *map(ord, "once"))


def test_an_abort_frees_the_engine() -> None:
    script = Script(free="hello world")
    engine = make(script)
    engine.take(engine.prepare(ask()))
    engine.step()
    assert engine.take(Abort("a")) == []
    assert engine.is_idle
    assert engine.step() == []


def test_what_the_engine_refuses_is_the_clients_error() -> None:
    failed = run(make(Script()), ask(grammar=Grammar("regex", "bad")))
    assert failed == [Failed("a", "InvalidInput", "no such grammar")]


def test_text_becomes_tokens_and_text_again() -> None:
    engine = make(Script())
    assert engine.prepare(Tokenize("t", "ab")) == Tokenized("t", [BOS, 97, 98])
    asked = Tokenize("t", "ab", add_special=False, with_pieces=True)
    assert engine.prepare(asked).pieces == [[97], [98]]
    assert engine.prepare(Detokenize("d", [97, 98])) == Detokenized("d", "ab")
    with pytest.raises(InvalidInput, match="token 1114112 does not exist"):
        engine.prepare(Detokenize("d", [0x110000]))
    with pytest.raises(InvalidInput, match="token -1 does not exist"):
        engine.prepare(Generate("a", prompt_token_ids=[5, -1]))


def run_embed(script: Script, texts: list[Any], **fields: Any) -> list[Event]:
    engine = make(script)
    events = engine.take(engine.prepare(Embed("e", texts, **fields)))
    while not engine.is_idle:
        events += engine.step()
    return events


def test_an_embedding_is_told_of_and_packed() -> None:
    progress, embedded = run_embed(Script(), ["ab", [5, 6]])
    assert progress == Progress("e", 1)
    assert isinstance(embedded, Embedded)
    assert embedded.num_prompt_tokens == 5
    unpacked = [struct.unpack("<2f", base64.b64decode(each)) for each in embedded.vectors]
    assert unpacked == [(3.0, 98.0), (2.0, 6.0)]


def test_a_text_too_long_is_cut_before_its_end_token_or_refused() -> None:
    script = Script(limits=SimpleNamespace(max_context_tokens=4))
    *_, cut = run_embed(script, [[97, 98, 99, 100, 101], [97, 98, 99, 100, 0]])
    unpacked = [struct.unpack("<2f", base64.b64decode(each)) for each in cut.vectors]
    assert unpacked == [(4.0, 100.0), (4.0, 0.0)]
    with pytest.raises(InvalidInput, match="the input length exceeds the context length"):
        run_embed(script, ["abcdef"], truncate=False)
    with pytest.raises(InvalidInput, match="without tokens"):
        run_embed(script, [[]])


def test_an_embedding_that_fails_or_is_left_ends_alone() -> None:
    assert run_embed(Script(), [[13]]) == [Failed("e", "InvalidInput", "not a number")]
    engine = make(Script())
    engine.take(engine.prepare(Embed("e", ["x"])))
    engine.take(Abort("e"))
    assert engine.is_idle


@pytest.mark.parametrize("chunk", [1, 100])
def test_only_one_call_is_made_where_one_is_wanted(chunk: int) -> None:
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    script = Script(free=f"{call}\n{call} and more", chunk=chunk)
    template = f"{TEMPLATE}<tool_call>{{{{ tools }}}}"
    asked = ask(tools=[{"function": {"name": "f"}}], parallel_calls=False)
    events = run(make(script, template), asked)
    calls = [call for event in events if isinstance(event, Delta) for call in event.tool_calls]
    assert calls == [{"name": "f", "arguments": {}}]
    assert (content(events), events[-1].finish_reason) == ("", "stop")


@pytest.mark.parametrize("num_told", [0, 20, 40, 55, 62])
def test_a_call_that_is_being_written_can_be_resumed_anywhere(num_told: int) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"city": "Ulm"}}</tool_call>'
    template = f"<tool_call>{{{{ tools }}}}{TEMPLATE}"
    asked = ask(tools=[{"function": {"name": "f"}}])
    told, ids = [], []
    for event in run(make(Script(free=text), template), asked):
        if isinstance(event, Delta) and len(ids) < num_told:
            told += event.call_parts
            ids += event.token_ids
    for event in run(make(Script(free=text), template), replace(asked, resumed_token_ids=ids)):
        told += event.call_parts if isinstance(event, Delta) else ()
    assert [part["name"] for part in told if part["name"]] == ["f"]
    assert "".join(part["arguments"] for part in told) == '{"city": "Ulm"}'
    assert [part["is_last"] for part in told] == [False] * (len(told) - 1) + [True]


def test_a_required_call_is_asked_of_the_engine_as_a_grammar() -> None:
    script = Script(held='{"name": "f"}')
    asked = ask(tools=[{"function": {"name": "f"}}], must_call=True)
    run(make(script, f"{TEMPLATE}<tool_call>{{{{ tools }}}}"), asked)
    (request,) = script.requests
    assert request.grammar is not None
    assert request.grammar.kind == "lark"


def test_progress_is_told_while_a_prompt_is_read() -> None:
    script = Script(free="x")
    engine = make(script)
    engine.take(engine.prepare(ask()))
    script.step = lambda: [StepOutput("a", num_computed_tokens=3)]  # type: ignore[method-assign]
    assert engine.step() == [Progress("a", 3)]


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_thought_that_grows_too_long_is_ended_and_answered(chunk: int) -> None:
    script = Script(free="hm, let me see, hm", chunk=chunk)
    asked = ask(think=True, max_thinking_tokens=7)
    events = run(make(script, THINKING_TEMPLATE), asked)
    _, answer = script.requests
    assert "".join(map(chr, answer.prompt_token_ids)).endswith("<think>hm, let\n</think>\n\n")
    assert answer.grammar is None
    assert (thinking(events), content(events)) == ("hm, let", "hm, let me see, hm")
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_thought_within_its_length_is_left_alone(chunk: int) -> None:
    script = Script(free="hm</think>\n\nYes, twice.", chunk=chunk)
    asked = ask(think=True, max_thinking_tokens=50, stop=["twice"])
    events = run(make(script, THINKING_TEMPLATE), asked)
    assert len(script.requests) == 1
    assert (thinking(events), content(events)) == ("hm", "Yes, ")
    assert (events[-1].finish_reason, events[-1].stop) == ("stop", "twice")
    assert "".join(map(chr, output_ids(events))) == "hm</think>\n\nYes, twice"


def test_a_gap_cannot_be_filled_without_marks_for_it() -> None:
    asked = Generate("a", prompt="def f(", suffix="): x")
    expected = "registry.ollama.ai/library/letters:latest does not support insert"
    with pytest.raises(InvalidInput, match=expected):
        make(Script()).prepare(asked)
