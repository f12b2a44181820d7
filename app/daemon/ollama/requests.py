"""Bodies of `/api/chat` and `/api/generate`, to what a worker is asked. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.daemon.fields import Fields, Json
from app.daemon.ollama.fields import CHAT, GENERATE
from app.daemon.ollama.options import check_options, fix_seed, parse_options
from app.daemon.request_id import new_answer_ids
from app.durations import parse_keep_alive
from app.protocol import Generate
from engine.request import Grammar
from models.create import check_template
from models.errors import InvalidInput
from models.files import ModelFiles
from models.name import full_name

_THINK_LEVELS = ("high", "medium", "low", "max")


@dataclass(frozen=True)
class TextRequest:
    """A chat or completion as it was asked for, before the model is known."""

    model: str
    adapter: str | None = None
    stream: bool = True
    keep_alive_s: float | None = None
    """None: not said."""
    messages: Sequence[Json] = ()
    """Empty for `prompt`."""
    template: str | None = None
    """In place of the model's own."""
    tools: Sequence[Json] = ()
    must_call: bool = False
    parallel_calls: bool = True
    prompt: str = ""
    prompt_token_ids: Sequence[int] = ()
    raw: bool = False
    suffix: str = ""
    think: bool | str | None = None
    max_thinking_tokens: int | None = None
    grammar: Grammar | None = None
    options: Json = field(default_factory=dict)
    num_logprobs: int | None = None
    logit_bias: dict[int, float] = field(default_factory=dict)
    num_choices: int = 1
    has_images: bool = False
    truncate: bool = True
    shift: bool = False
    num_prompt_logprobs: int | None = None

    @property
    def draft(self) -> str | None:
        """The model that shall draft, or None."""
        return check_options(self.options).get("draft")

    @property
    def kv_type(self) -> str | None:
        """How keys and values shall be kept, or None."""
        return check_options(self.options).get("kv_type")

    @property
    def is_empty(self) -> bool:
        """Nothing to answer: only load or unload the model."""
        return not (self.messages or self.prompt or self.prompt_token_ids)


def parse_model_field(fields: Fields) -> str:
    """`model`, or `name` as it was called once."""
    model, name = fields.text("model"), fields.text("name")
    return model or name


def parse_keep_alive_field(fields: Fields) -> float | None:
    """`keep_alive` in seconds; None when it is not given."""
    value = fields.any("keep_alive")
    return None if value is None else parse_keep_alive(value)


def parse_chat(body: Json) -> TextRequest:
    """An `/api/chat` body.

    Raises:
        InvalidInput: in Ollama's words where it has any.
    """
    fields = Fields(body, CHAT)
    messages = [parse_message(each) for each in fields.objects("messages")]
    common = _parse_common(fields)
    if not common["model"]:
        raise InvalidInput("model is required")
    return TextRequest(
        **common,
        messages=messages,
        tools=[each.values for each in fields.objects("tools")],
        has_images=any("images" in message for message in messages),
    )


def parse_generate(body: Json) -> TextRequest:
    """An `/api/generate` body; `system`, `prompt` and `images` become messages unless `raw`."""
    fields = Fields(body, GENERATE)
    prompt, system = fields.text("prompt"), fields.text("system")
    raw = fields.flag("raw", default=False)
    context = fields.integers("context")
    template = fields.text("template")
    if raw and (template or system or context):
        raise InvalidInput("raw mode does not support template, system, or context")
    if template:
        check_template(template)
    common = _parse_common(fields)
    suffix = fields.text("suffix")
    if raw or suffix or not prompt:
        return TextRequest(**common, prompt=prompt, raw=raw, suffix=suffix)
    messages: list[Json] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": prompt})
    return TextRequest(
        **common,
        messages=messages,
        template=template or None,
        prompt_token_ids=context,
        has_images=bool(fields.texts("images")),
    )


def parse_message(fields: Fields) -> Json:
    """One message, checked, with its role in lower case."""
    message: Json = {"role": fields.text("role").lower(), "content": fields.text("content")}
    for name in ("thinking", "tool_name", "tool_call_id"):
        if fields.text(name):
            message[name] = fields.text(name)
    if fields.texts("images"):
        message["images"] = list(fields.texts("images"))
    calls = [_parse_tool_call(each) for each in fields.objects("tool_calls")]
    if calls:
        message["tool_calls"] = calls
    return message


def _parse_tool_call(fields: Fields) -> Json:
    function = fields.nested("function")
    call: Json = {
        "type": "function",
        "function": {"name": function.text("name"), "arguments": function.object("arguments")},
    }
    return call | ({"id": fields.text("id")} if fields.text("id") else {})


def _parse_common(fields: Fields) -> Json:
    num_logprobs = None
    top_logprobs = fields.integer("top_logprobs") or 0
    if not 0 <= top_logprobs <= 20:
        raise InvalidInput("top_logprobs must be between 0 and 20")
    if fields.flag("logprobs", default=False):
        num_logprobs = top_logprobs
    return {
        "model": parse_model_field(fields),
        "adapter": fields.text("adapter") or None,
        "stream": fields.flag("stream", default=True),
        "keep_alive_s": parse_keep_alive_field(fields),
        "think": parse_think(fields.any("think")),
        "grammar": parse_format(fields.any("format")),
        "options": fields.object("options"),
        "num_logprobs": num_logprobs,
        "truncate": fields.flag("truncate", default=True),
        "shift": fields.flag("shift", default=False),
    }


def parse_think(value: Any) -> bool | str | None:
    """`think`: a flag, a level, or None when it is not given."""
    if value is None or isinstance(value, bool) or value in _THINK_LEVELS:
        return value  # type: ignore[no-any-return]
    if value == "":
        return None
    raise InvalidInput(
        f"invalid think value: {json.dumps(value)}"
        ' (must be "high", "medium", "low", "max", true, or false)'
    )


def parse_format(value: Any) -> Grammar | None:
    """`format`: "json", a JSON Schema, or nothing."""
    if value is None or value == "":
        return None
    if value == "json":
        return Grammar("json")
    if isinstance(value, dict):
        return Grammar("json_schema", json.dumps(value))
    raise InvalidInput(
        f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object'
    )


def check_capabilities(request: TextRequest, name: str, capabilities: Sequence[str]) -> None:
    """Refuse what the model cannot do.

    Raises:
        InvalidInput: in Ollama's words.
    """
    if "completion" not in capabilities:
        verb = "chat" if request.messages and not request.raw else "generate"
        raise InvalidInput(f'"{request.model}" does not support {verb}')
    if request.think and "thinking" not in capabilities:
        raise InvalidInput(f'"{request.model}" does not support thinking')
    if request.tools and "tools" not in capabilities:
        raise InvalidInput(f"{full_name(name)} does not support tools")
    if request.has_images:
        raise InvalidInput(
            f'"{request.model}" does not support images',
            hint="this server runs text models only",
        )


def _is_scored(request: TextRequest) -> bool:
    """Whether the prompt is all that is wanted; then the one token behind it is always a token.

    Evaluation harnesses count on it: they take the last entry for that one and drop it.
    """
    is_read = request.num_prompt_logprobs is not None and request.num_logprobs is not None
    return is_read and request.options.get("num_predict") == 1


def to_generates(request: TextRequest, files: ModelFiles) -> list[Generate]:
    """What the worker is asked, one for each choice, with the model's stored settings applied.

    Where `think` is not given, the model's own template decides, as it was trained to.
    """
    options = parse_options(
        request.options,
        files.parameters,
        num_logprobs=request.num_logprobs,
        logit_bias=request.logit_bias,
    )
    messages = None if not request.messages else complete_messages(request, files)
    return [
        Generate(
            id=answer_id,
            messages=messages,
            template=request.template,
            tools=request.tools or None,
            must_call=request.must_call,
            parallel_calls=request.parallel_calls,
            think=request.think,
            max_thinking_tokens=request.max_thinking_tokens,
            prompt=request.prompt,
            suffix=request.suffix,
            prompt_token_ids=request.prompt_token_ids,
            sampling=replace(fix_seed(options.sampling, index), ignore_eos=_is_scored(request)),
            grammar=request.grammar,
            stop=options.stop,
            max_context_tokens=options.max_context_tokens,
            truncate=request.truncate,
            shift=request.shift,
            num_kept_tokens=options.num_kept_tokens,
            num_prompt_logprobs=request.num_prompt_logprobs,
        )
        for index, answer_id in enumerate(new_answer_ids(request.num_choices))
    ]


def complete_messages(request: TextRequest, files: ModelFiles) -> list[Json]:
    """The conversation behind the system prompt and turns stored with the model."""
    stored: list[Json] = []
    if not request.prompt_token_ids:
        stored = [dict(message) for message in files.messages]
    messages = [*stored, *request.messages]
    if files.system and messages[0]["role"] != "system" and not request.prompt_token_ids:
        messages.insert(0, {"role": "system", "content": files.system})
    return messages
