"""litellm, LlamaIndex, `llm` and Anthropic's client, each by its shortest way to an answer."""

import json

import pytest

ASK = [{"role": "user", "content": "How do I pull a model?"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "name of the city"}},
    "required": ["city"],
}
FUNCTION = {"name": "get_weather", "description": "weather of a city", "parameters": CITY}


@pytest.mark.parametrize("provider", ["ollama_chat", "ollama", "openai", "anthropic"])
def test_litellm_answers_whole_and_in_pieces(url: str, model: str, provider: str) -> None:
    import litellm

    base = f"{url}/v1" if provider == "openai" else url
    asked = {"model": f"{provider}/{model}", "api_base": base, "api_key": "none"}
    whole = litellm.completion(**asked, messages=ASK, max_tokens=40)
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens > 0
    pieces = litellm.completion(**asked, messages=ASK, max_tokens=40, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_calls_the_tool_that_is_required(url: str, model: str, provider: str) -> None:
    import litellm

    tool = {"type": "function", "function": FUNCTION}
    reply = litellm.completion(
        model=f"{provider}/{model}",
        api_base=f"{url}/v1" if provider == "openai" else url,
        api_key="none",
        messages=WEATHER,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    (call,) = reply.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_litellm_embeds(url: str, model: str) -> None:
    import litellm

    texts = ["a", "b"]
    native = litellm.embedding(model=f"ollama/{model}", api_base=url, input=texts)
    assert len(native.data) == 2
    asked = {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": "none"}
    assert len(litellm.embedding(**asked, input=texts).data) == 2


def test_llama_index_chats_over_ollamas_api(url: str, model: str) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.ollama import Ollama

    llm = Ollama(model=model, base_url=url, request_timeout=120, context_window=2048)
    assert str(llm.complete("How do I pull a model?"))
    hello = [ChatMessage(role="user", content="Hello")]
    assert llm.chat(hello).message.content
    assert "".join(chunk.delta or "" for chunk in llm.stream_chat(hello))


def test_llama_index_completes_over_openais_api(url: str, model: str) -> None:
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(
        model=model, api_base=f"{url}/v1", api_key="none", is_chat_model=True, context_window=2048
    )
    assert str(llm.complete("Hello", max_tokens=40))
    assert "".join(chunk.delta or "" for chunk in llm.stream_complete("Hello", max_tokens=40))


def test_llama_index_embeds(url: str, model: str) -> None:
    from llama_index.embeddings.ollama import OllamaEmbedding

    embedding = OllamaEmbedding(model_name=model, base_url=url)
    assert len(embedding.get_text_embedding("a")) > 10
    assert len(embedding.get_text_embedding_batch(["a", "b"])) == 2


def test_llm_and_its_plugin(url: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", url)
    import llm

    asked = llm.get_model(f"{model}:latest" if ":" not in model else model)
    assert asked.prompt("How do I pull a model?").text()
    assert "".join(asked.prompt("Hello"))


def test_anthropic_thinks_and_calls(url: str, model: str) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="none")
    tool = {"name": "get_weather", "description": "weather of a city", "input_schema": CITY}
    called = client.messages.create(
        model=model,
        max_tokens=200,
        messages=WEATHER,
        tools=[tool],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    assert called.stop_reason == "tool_use"
    assert called.content[-1].input == {"city": "Paris"}
    product = [{"role": "user", "content": "What is 7 times 8?"}]
    thinking = {"type": "enabled", "budget_tokens": 64}
    with client.messages.stream(
        model=model, max_tokens=300, messages=product, thinking=thinking
    ) as stream:
        assert stream.get_final_message().content
