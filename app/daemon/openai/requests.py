"""Bodies of `/v1/chat/completions` and `/v1/completions`, to what a worker is asked. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.daemon.fields import Fields, Json
from app.daemon.ollama.requests import TextRequest, parse_keep_alive_field
from app.daemon.openai.fields import CHAT_COMPLETION, COMPLETION
from app.daemon.openai.messages import parse_messages
from app.daemon.openai.tool_choice import choose_tools
from engine.request import Grammar
from models.errors import InvalidInput

MAX_CHOICES = 128

_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


@dataclass(frozen=True)
class OpenAIRequest:
    """Texts to be made (several for a list of prompts), and how they are shown."""

    texts: Sequence[TextRequest]
    include_usage: bool = False
    echo: bool = False
    """Each text is put behind its prompt."""
    only_prompt: bool = False
    """`max_tokens` is 0: nothing but the prompt is shown."""
    num_best: int | None = None
    """So many of each prompt's choices are shown, the likeliest; None: all."""
    shows_logprobs: bool = True

    @property
    def first(self) -> TextRequest:
        """What all texts have in common."""
        return self.texts[0]


def parse_chat_completion(body: Json) -> OpenAIRequest:
    """A `/v1/chat/completions` body.

    Raises:
        InvalidInput: with the field that is wrong.
    """
    fields = Fields(body, CHAT_COMPLETION)
    messages = parse_messages(fields.objects("messages"))
    if not messages:
        raise InvalidInput("[] is too short - 'messages'")
    text = TextRequest(
        **_parse_common(fields),
        messages=messages,
        **_parse_tools(fields),
        think=parse_effort(fields),
        grammar=parse_grammar(fields.nested("response_format"), "response_format"),
        num_logprobs=_parse_logprobs(fields),
    )
    return OpenAIRequest([text], _include_usage(fields))


def parse_completion(body: Json) -> OpenAIRequest:
    """A `/v1/completions` body: text is continued as it is, without a chat template."""
    fields = Fields(body, COMPLETION)
    num_logprobs = fields.integer("logprobs")
    echo = fields.flag("echo", default=False)
    if echo and num_logprobs is not None and fields.flag("stream", default=False):
        raise InvalidInput("echo with logprobs cannot be streamed")
    only_prompt = echo and fields.integer("max_tokens") == 0
    common = _parse_common(fields)
    if only_prompt:
        common["options"]["num_predict"] = 1
    text = TextRequest(**common, raw=True, suffix=fields.text("suffix"), num_logprobs=num_logprobs)
    num_best, num_choices = _parse_best_of(fields, text.num_choices)
    if num_best is not None:
        text = replace(text, num_choices=num_choices, num_logprobs=num_logprobs or 0)
    prompt = fields.any("prompt")
    prompts = _parse_prompts("" if prompt is None else prompt)
    texts = [replace(text, **prompt) for prompt in prompts]
    if echo:
        needs_reading = num_logprobs is not None or any(each.prompt_token_ids for each in texts)
        num_prompt_logprobs = (num_logprobs or 0) if needs_reading else None
        texts = [replace(each, num_prompt_logprobs=num_prompt_logprobs) for each in texts]
    return OpenAIRequest(
        texts,
        _include_usage(fields),
        echo,
        only_prompt,
        num_best,
        shows_logprobs=num_logprobs is not None,
    )


def _parse_best_of(fields: Fields, num_choices: int) -> tuple[int | None, int]:
    """How many choices are shown where not all are, and how many are made."""
    best_of = fields.integer("best_of")
    if best_of is None or best_of == num_choices:
        return None, num_choices
    if not num_choices <= best_of <= MAX_CHOICES:
        raise InvalidInput(
            f"best_of must be between n, which is {num_choices}, and {MAX_CHOICES}, not {best_of}"
        )
    if fields.flag("stream", default=False):
        raise InvalidInput("best_of greater than n cannot be streamed")
    return num_choices, best_of


def _parse_tools(fields: Fields) -> Json:
    tools = [each.values for each in fields.objects("tools")]
    return choose_tools(fields, tools, fields.any("tool_choice"))


def parse_effort(fields: Fields) -> bool | str | None:
    """`reasoning.effort` or `reasoning_effort`, as `think`."""
    effort = fields.nested("reasoning").any("effort") or fields.any("reasoning_effort")
    if effort is None or effort == "":
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise InvalidInput(
            f"invalid reasoning value: {json.dumps(effort)}"
            ' (must be "high", "medium", "low", "max", or "none")'
        )
    return _EFFORTS[effort]


def parse_grammar(wanted: Fields, where: str) -> Grammar | None:
    """What holds the answer to a `response_format`."""
    kind = wanted.any("type") or "text"
    if kind == "text":
        return None
    if kind == "json_object":
        return Grammar("json")
    schema = wanted.nested("json_schema").any("schema")
    if kind == "json_schema" and isinstance(schema, dict):
        return Grammar("json_schema", json.dumps(schema))
    raise InvalidInput(f"{where} must be of type text, json_object or json_schema with a schema")


def _parse_logprobs(fields: Fields) -> int | None:
    top_logprobs = fields.integer("top_logprobs") or 0
    if not 0 <= top_logprobs <= 20:
        raise InvalidInput("top_logprobs must be between 0 and 20")
    return top_logprobs if fields.flag("logprobs", default=False) else None


def _parse_common(fields: Fields) -> Json:
    model = fields.text("model")
    if not model:
        raise InvalidInput("model is required")
    num_choices = fields.integer("n") or 1
    if not 1 <= num_choices <= MAX_CHOICES:
        raise InvalidInput(f"n must be between 1 and {MAX_CHOICES}, not {num_choices}")
    return {
        "model": model,
        "adapter": fields.text("adapter") or None,
        "stream": fields.flag("stream", default=False),
        "keep_alive_s": parse_keep_alive_field(fields),
        "options": _parse_options(fields),
        "logit_bias": _parse_logit_bias(fields),
        "num_choices": num_choices,
    }


def _parse_options(fields: Fields) -> Json:
    """OpenAI's fields by Ollama's names; `options` itself is taken too, as an extension."""
    options: Json = {"temperature": 1.0, "top_p": 1.0, **fields.object("options")}
    max_tokens = fields.integer("max_completion_tokens") or fields.integer("max_tokens")
    given = {
        "num_predict": max_tokens,
        "seed": fields.integer("seed"),
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "top_k": fields.integer("top_k"),
        "min_p": fields.number("min_p"),
        "frequency_penalty": fields.number("frequency_penalty"),
        "presence_penalty": fields.number("presence_penalty"),
        "stop": _parse_stop(fields),
    }
    return options | {name: value for name, value in given.items() if value is not None}


def _parse_stop(fields: Fields) -> list[str] | None:
    stop = fields.any("stop")
    if stop is None:
        return None
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise InvalidInput("stop must be a string or an array of strings")
    return stops


def _parse_logit_bias(fields: Fields) -> dict[int, float]:
    try:
        return {int(key): float(value) for key, value in fields.object("logit_bias").items()}
    except (TypeError, ValueError) as error:
        raise InvalidInput("logit_bias must map token ids to numbers") from error


def _parse_prompts(prompt: Any) -> list[Json]:
    """A string, token ids, or a list of either."""
    if isinstance(prompt, str):
        return [{"prompt": prompt}]
    if isinstance(prompt, list) and prompt:
        if all(_is_token_id(item) for item in prompt):
            return [{"prompt_token_ids": tuple(prompt)}]
        if all(isinstance(item, str) for item in prompt):
            return [{"prompt": item} for item in prompt]
        if all(isinstance(p, list) and p and all(map(_is_token_id, p)) for p in prompt):
            return [{"prompt_token_ids": tuple(item)} for item in prompt]
    raise InvalidInput("prompt must be a string, an array of token ids, or an array of either")


def _is_token_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _include_usage(fields: Fields) -> bool:
    return bool(fields.nested("stream_options").any("include_usage"))
