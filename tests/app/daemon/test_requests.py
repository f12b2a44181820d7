"""What bodies mean, without a server."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.daemon.addresses import is_allowed_host, is_allowed_origin, is_loopback
from app.daemon.anthropic.requests import parse_messages_request
from app.daemon.fields import Fields, parse_body
from app.daemon.ollama.options import parse_options
from app.daemon.ollama.requests import parse_chat, parse_generate, to_generates
from app.daemon.openai.requests import parse_chat_completion, parse_completion
from app.daemon.struct import Struct, text
from app.protocol import Generate
from engine.request import Grammar
from models.errors import InvalidInput
from models.files import ModelFiles

FILES = ModelFiles("m:latest", "gguf", (), None, "d" * 64)
USER = {"role": "user", "content": "hi"}


def generated(body: dict[str, Any], files: ModelFiles = FILES) -> Generate:
    (only,) = to_generates(parse_chat({"model": "m", **body}), files)
    return only


def test_a_request_s_options_come_before_the_models_before_ollamas() -> None:
    options = parse_options({"top_k": 7}, {"top_k": 5, "temperature": 0.2, "stop": ["x"]})
    assert options.sampling.top_k == 7
    assert options.sampling.temperature == 0.2
    assert options.sampling.top_p == 0.9
    assert options.stop == ("x",)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("num_predict", -1, "max_tokens", None),
        ("num_predict", -2, "max_tokens", None),
        ("num_predict", 5.9, "max_tokens", 5),
        ("seed", -1, "seed", None),
        ("seed", 0, "seed", 0),
        ("repeat_last_n", 0, "penalty_window", 0),
        ("repeat_last_n", -1, "penalty_window", -1),
        ("top_k", -3, "top_k", 0),
        ("temperature", None, "temperature", 0.8),
    ],
)
@pytest.mark.compat("POST /api/generate", "`options`")
def test_options_mean_what_they_mean_to_ollama(name, value, field, expected) -> None:
    assert getattr(parse_options({name: value}, {}).sampling, field) == expected


def test_an_unknown_option_is_warned_of_and_a_former_one_is_not(caplog) -> None:
    parse_options({"banana": 1, "mirostat": 2}, {})
    assert [record.message for record in caplog.records] == ["invalid option provided: banana"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("hot", "float32"), (True, "float32"), ([1], "float32")],
)
def test_a_value_of_the_wrong_type_is_refused_in_ollamas_words(value: object, kind: str) -> None:
    with pytest.raises(InvalidInput, match=f'option "temperature" must be of type {kind}'):
        parse_options({"temperature": value}, {})


def test_the_stored_system_prompt_gives_way_to_the_requests_own() -> None:
    files = replace(FILES, system="stored", messages=({"role": "user", "content": "before"},))
    roles = [(m["role"], m["content"]) for m in generated({"messages": [USER]}, files).messages]
    assert roles == [("system", "stored"), ("user", "before"), ("user", "hi")]
    own = [{"role": "System", "content": "own"}, USER]
    found = generated({"messages": own}, replace(files, messages=())).messages
    assert [m["content"] for m in found] == ["own", "hi"]


def test_every_answer_has_a_seed_that_another_worker_can_be_told() -> None:
    assert generated({"messages": [USER]}).sampling.seed is not None
    asked = parse_chat_completion({"model": "m", "messages": [USER], "n": 3, "seed": 5}).first
    seeds = [each.sampling.seed for each in to_generates(asked, FILES)]
    assert seeds == [5, 6, 7]


@pytest.mark.compat("POST /api/generate", "`system`")
def test_generate_makes_a_conversation_of_system_and_prompt() -> None:
    asked = parse_generate({"model": "m", "prompt": "p", "system": "s", "context": [1, 2]})
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert asked.prompt_token_ids == (1, 2)
    raw = parse_generate({"model": "m", "prompt": "p", "raw": True})
    assert (raw.messages, raw.prompt) == ((), "p")


@pytest.mark.parametrize(
    ("value", "grammar"),
    [
        (None, None),
        ("", None),
        ("json", Grammar("json")),
        ({"type": "object"}, Grammar("json_schema", '{"type": "object"}')),
    ],
)
@pytest.mark.compat("POST /api/chat", "`format`: JSON and JSON Schema")
@pytest.mark.compat("POST /api/generate", "`format`: JSON and JSON Schema")
def test_a_format_is_a_grammar(value: object, grammar: Grammar | None) -> None:
    assert parse_chat({"model": "m", "format": value}).grammar == grammar


def test_a_format_that_is_neither_is_refused() -> None:
    with pytest.raises(InvalidInput, match='invalid format: "xml"; expected "json" or a valid'):
        parse_chat({"model": "m", "format": "xml"})


@pytest.mark.compat("POST /v1/chat/completions", "tool results")
def test_openai_tool_results_find_their_tools_name() -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": '{"x": 1}'}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "developer", "content": "be kind"},
    ]
    asked = parse_chat_completion({"model": "m", "messages": messages}).first
    _, calling, result, developer = asked.messages
    assert calling["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert (result["tool_name"], result["content"]) == ("f", "2")
    assert developer["role"] == "system"


@pytest.mark.compat("POST /v1/chat/completions", "sampling, with OpenAI's defaults")
def test_openai_sampling_defaults_are_openais() -> None:
    asked = parse_chat_completion({"model": "m", "messages": [USER], "stop": "end"}).first
    options = parse_options(asked.options, {"temperature": 0.1})
    assert (options.sampling.temperature, options.sampling.top_p) == (1.0, 1.0)
    assert options.stop == ("end",)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", ["f", "g"]),
        ("none", []),
        ({"type": "function", "function": {"name": "g"}}, ["g"]),
    ],
)
def test_a_tool_choice_leaves_the_tools_it_allows(choice: object, names: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    body = {"model": "m", "messages": [USER], "tools": tools, "tool_choice": choice}
    asked = parse_chat_completion(body).first
    assert [tool["function"]["name"] for tool in asked.tools] == names


@pytest.mark.parametrize("prompt", [5, [], [[]], ["a", 1], [True], [[1], "a"]])
def test_a_completion_prompt_of_no_known_kind_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidInput, match="prompt must be a string"):
        parse_completion({"model": "m", "prompt": prompt})


@pytest.mark.compat("POST /v1/messages", "Anthropic's own tools", refused="left out")
def test_anthropics_own_tools_are_left_out() -> None:
    own = {"name": "f", "input_schema": {"type": "object"}}
    tools = [own, {**own, "name": "g", "type": "custom"}, {"type": "web_search_1", "name": "h"}]
    asked = parse_messages_request(
        {"model": "m", "max_tokens": 1, "messages": [{"role": "user"}], "tools": tools}
    )
    assert [tool["function"]["name"] for tool in asked.tools] == ["f", "g"]


@pytest.mark.compat("POST /api/generate", "`template`")
def test_a_template_of_the_requests_own_goes_to_the_worker_or_is_refused() -> None:
    body = {"model": "m", "prompt": "x", "template": "{{ .Prompt }}"}
    (generate,) = to_generates(parse_generate(body), FILES)
    assert generate.template == "{{ .Prompt }}"
    with pytest.raises(InvalidInput, match="'shout' is not supported"):
        parse_generate({**body, "template": "{{ shout .Prompt }}"})


@pytest.mark.compat("POST /v1/messages", "`thinking`")
def test_anthropic_thinking_is_off_until_asked_for() -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [USER]}
    assert parse_messages_request(body).think is False
    enabled = body | {"thinking": {"type": "enabled", "budget_tokens": 9}}
    assert parse_messages_request(enabled).think is True
    assert parse_messages_request(enabled | {"output_config": {"effort": "low"}}).think == "low"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" ", "missing request body"),
        (b"nonsense", "invalid character 'n' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a": "b', "unexpected EOF"),
        (b'{"a": 1 "b": 2}', "invalid character '\"' after object key:value pair"),
        (b"[1]", "json: cannot unmarshal array into Go value of type object"),
    ],
)
def test_a_body_that_is_no_object_is_refused_in_gos_words(body: bytes, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_body(body)
    assert caught.value.message == text


def test_lone_surrogates_become_replacement_characters() -> None:
    assert parse_body(b'{"a": ["x\\ud800y", "\\ud83d\\ude00"]}') == {
        "a": ["x\ufffdy", "\U0001f600"]
    }


def test_fields_name_their_place_in_gos_words() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_chat({"model": "m", "messages": [{"role": "user", "content": ["x"]}]})
    assert caught.value.message == (
        "json: cannot unmarshal array into Go struct field ChatRequest.messages.content"
        " of type string"
    )
    assert Fields({"a": None}, Struct("X", "X", {"a": text()})).text("a", "default") == "default"


def test_loopback_hosts_and_local_pages_are_known() -> None:
    assert [is_loopback(host) for host in ("localhost", "::1", "127.9.9.9", "0.0.0.0", "box")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert is_allowed_host("BOX:1", "box")
    assert is_allowed_host("[::1]:11434", "box")
    assert not is_allowed_host("[bad", "box")
    assert is_allowed_origin("http://10.0.0.1:5", "10.0.0.1:5", ())
    assert not is_allowed_origin("http://10.0.0.1:6", "10.0.0.1:5", ())


def test_a_schema_reaches_the_engine_as_it_was_written() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    asked = parse_chat_completion({"model": "m", "messages": [USER], "response_format": wanted})
    grammar = asked.first.grammar
    assert grammar is not None
    assert list(json.loads(grammar.text)["properties"]) == ["b", "a"]
