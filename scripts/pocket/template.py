"""The chat template of `pocket`: rendered for training exactly as the engine renders it."""

import json
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from scripts.pocket.dialogue import Dialogue, Message

TEMPLATE = (Path(__file__).parent / "template.jinja").read_text().rstrip("\n")


def to_json(value: Any) -> str:
    """JSON as Hugging Face's chat templates write it: no HTML escapes, keys in their order."""
    return json.dumps(value, ensure_ascii=False)


def compile_template() -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    return environment.from_string(TEMPLATE)


COMPILED = compile_template()


def render_prompt(messages: list[Message], tools: list[Message], thinking: bool) -> str:
    """The text after which the model writes its answer."""
    return COMPILED.render(
        messages=messages, tools=tools, enable_thinking=thinking, add_generation_prompt=True
    )


def render_dialogue(dialogue: Dialogue) -> str:
    """Prompt and last answer; a thought is written as the model has to write it."""
    plain = COMPILED.render(
        messages=dialogue.messages, tools=dialogue.tools, add_generation_prompt=False
    )
    if not dialogue.thinking:
        return plain
    answer = plain.removeprefix(render_prompt(dialogue.prompt, dialogue.tools, thinking=False))
    prompt = render_prompt(dialogue.prompt, dialogue.tools, thinking=True)
    return f"{prompt}{dialogue.thought}\n</think>\n\n{answer}"
