"""Where a model's thought ends, and how it is ended for it."""

from engine.text.output_parser import opens_thinking, thinking_tags
from engine.text.text_stream import TextDelta
from engine.tokenizer import Tokenizer


def is_answer(delta: TextDelta) -> bool:
    """Whether the thought is over: something else than white space is shown."""
    return bool(delta.content.strip() or delta.call_parts)


def closing_tokens(
    tokenizer: Tokenizer, template_source: str, prompt_text: str, thought_ids: list[int]
) -> list[int]:
    """What ends a thought that is still open behind the prompt; nothing where none is."""
    tags = thinking_tags(template_source)
    written = b"".join(map(tokenizer.token_bytes, thought_ids)).decode(errors="replace")
    text = (prompt_text if opens_thinking(prompt_text) else "") + written
    if tags is None or text.rfind(tags[0].strip()) <= text.rfind(tags[1].strip()):
        return []
    return tokenizer.encode(f"\n{tags[1]}\n\n", add_special=False)
