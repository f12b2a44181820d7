"""The unchanged clients of Ollama, OpenAI and Anthropic, against a worker without a model.

`scripts/check_sdks` runs more of them, against a model.
"""

from collections.abc import Iterator

import anthropic
import ollama
import openai
import pytest
from pydantic import BaseModel

SAY_CALL = [{"role": "user", "content": "say 4 think call"}]
SAY = [{"role": "user", "content": "say 4"}]
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FUNCTION}]


class Answer(BaseModel):
    """What a structured answer is to be."""

    x: int


@pytest.fixture
def url(shared_daemon) -> str:
    return f"http://127.0.0.1:{shared_daemon.port}"


@pytest.fixture
def ollama_client(url: str) -> Iterator[ollama.Client]:
    client = ollama.Client(url)
    yield client
    client._client.close()


@pytest.fixture
def openai_client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def anthropic_client(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="none") as client:
        yield client


def test_ollama_chats_whole_and_in_pieces(ollama_client) -> None:
    whole = ollama_client.chat("pocket", SAY)
    assert whole.message.content == "w0 w1 w2 w3 "
    assert (whole.done_reason, whole.eval_count, whole.prompt_eval_count) == ("stop", 4, 11)
    pieces = list(ollama_client.chat("pocket", SAY, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    called = ollama_client.chat("pocket", SAY_CALL, tools=TOOLS, think=True)
    assert called.message.thinking == "w0 "
    calls = called.message.tool_calls
    assert [call.function.arguments for call in calls] == [{"x": 1}, {"x": 2}]


def test_ollama_generates_embeds_and_knows_the_library(ollama_client) -> None:
    generated = ollama_client.generate("pocket", "say 2")
    assert (generated.response, generated.context) == ("w0 w1 ", [1, 2, 3, 0, 1])
    assert len(ollama_client.embed("pocket", ["a", "b"]).embeddings) == 2
    assert ollama_client.embeddings("pocket", "abc").embedding == [3.0, 1.0, 0.0]
    assert "pocket:latest" in [model.model for model in ollama_client.list().models]
    assert ollama_client.ps().models[0].context_length == 4096
    shown = ollama_client.show("pocket")
    assert "tools" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama"


def test_ollama_errors_have_their_status(ollama_client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        ollama_client.chat("nope", SAY)
    assert caught.value.status_code == 404


def test_openai_chats_whole_and_in_pieces(openai_client) -> None:
    create = openai_client.chat.completions.create
    whole = create(model="pocket", messages=SAY)
    assert whole.choices[0].message.content == "w0 w1 w2 w3 "
    assert whole.usage.prompt_tokens_details.cached_tokens == 5
    pieces = list(
        create(model="pocket", messages=SAY, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == whole.choices[0].message.content
    assert pieces[-1].usage.total_tokens == 15


def test_openai_streams_calls_that_its_own_helper_puts_together(openai_client) -> None:
    asked = {"model": "pocket", "messages": SAY_CALL, "tools": TOOLS}
    with openai_client.chat.completions.stream(**asked) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [c.function.arguments for c in choice.message.tool_calls] == ['{"x": 1}', '{"x": 2}']


def test_openai_completes_embeds_and_lists(openai_client) -> None:
    done = openai_client.completions.create(model="pocket", prompt=["say 1", "say 2"], n=2)
    assert [choice.text for choice in done.choices] == ["w0 ", "w0 ", "w0 w1 ", "w0 w1 "]
    data = openai_client.embeddings.create(model="pocket", input=["a", "bc"]).data
    assert [round(each.embedding[0], 3) for each in data] == [0.707, 0.894]
    assert "pocket:latest" in [model.id for model in openai_client.models.list()]
    assert openai_client.models.retrieve("pocket").owned_by == "library"


def test_openai_makes_streams_and_finds_responses(openai_client) -> None:
    made = openai_client.responses.create(model="pocket", input="say 3")
    assert made.output_text == "w0 w1 w2 "
    again = openai_client.responses.create(
        model="pocket", input="say 1", previous_response_id=made.id
    )
    assert openai_client.responses.retrieve(again.id).previous_response_id == made.id
    with openai_client.responses.stream(model="pocket", input="say 3") as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == "w0 w1 w2 "
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    openai_client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(made.id)


def test_openai_errors_are_of_their_kind(openai_client) -> None:
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="nope", messages=SAY)
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        openai_client.chat.completions.create(model="pocket", messages=SAY, top_logprobs=40)


def test_anthropic_writes_whole_and_in_pieces(anthropic_client) -> None:
    asked = {
        "model": "pocket",
        "max_tokens": 100,
        "messages": SAY_CALL,
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 50},
    }
    whole = anthropic_client.messages.create(**asked)
    kinds = ["thinking", "text", "tool_use", "tool_use"]
    assert [block.type for block in whole.content] == kinds
    assert (whole.stop_reason, whole.usage.cache_read_input_tokens) == ("tool_use", 5)
    with anthropic_client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == kinds
    assert final.content[-1].input == {"x": 2}


def test_anthropic_counts_tokens_and_names_errors(anthropic_client) -> None:
    counted = anthropic_client.messages.count_tokens(model="pocket", messages=SAY)
    assert counted.input_tokens == 11
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.messages.create(model="nope", max_tokens=5, messages=SAY)
