"""Whatever a client sends is understood or refused in words; it is never a defect of ours."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.daemon.anthropic.requests import parse_messages_request
from app.daemon.embed_requests import (
    parse_embed,
    parse_older_embed,
    parse_openai_embed,
    parse_rerank,
)
from app.daemon.fields import parse_body
from app.daemon.ollama.requests import TextRequest, parse_chat, parse_generate, to_generates
from app.daemon.openai.requests import parse_chat_completion, parse_completion
from app.daemon.openai.responses_requests import parse_response_request
from models.errors import UserError
from models.files import ModelFiles

FILES = ModelFiles("m:latest", "gguf", (), None, "d" * 64)
NAMES = """
    model name prompt suffix messages role content text type tools tool_calls function arguments
    parameters properties options temperature top_p top_k seed stop num_predict num_ctx format think
    stream keep_alive raw context images template system logprobs top_logprobs truncate n best_of
    echo logit_bias max_tokens max_completion_tokens max_output_tokens response_format json_schema
    schema stream_options include_usage reasoning effort reasoning_effort tool_choice
    parallel_tool_calls input instructions previous_response_id store metadata call_id output id
    tool_call_id thinking budget_tokens stop_sequences tool_use_id input_schema disable_parallel
    query documents top_n dimensions encoding_format from files adapters license quantize
""".split()  # noqa: SIM905
WORDS = """
    pocket user assistant system tool text json json_schema json_object function auto required none
    message function_call function_call_output reasoning tool_use tool_result thinking enabled
    disabled float base64 high 5m required allowed_tools any
""".split()  # noqa: SIM905
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 5)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
VALID = {
    parse_chat: {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    parse_generate: {"model": "m", "prompt": "x"},
    parse_chat_completion: {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    parse_completion: {"model": "m", "prompt": "x"},
    parse_response_request: {"model": "m", "input": "x"},
    parse_messages_request: {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
    },
    parse_embed: {"model": "m", "input": "x"},
    parse_older_embed: {"model": "m", "prompt": "x"},
    parse_openai_embed: {"model": "m", "input": "x"},
    parse_rerank: {"model": "m", "query": "x", "documents": ["y"]},
}


def texts_of(parsed: Any) -> list[TextRequest]:
    """The texts to be made, whatever API they were asked for in."""
    if isinstance(parsed, TextRequest):
        return [parsed]
    return list(getattr(parsed, "texts", ())) or [getattr(parsed, "text", None) or parsed]


@pytest.mark.parametrize("parse", VALID, ids=lambda parse: parse.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, changes=BODIES)
def test_any_body_is_understood_or_refused(
    parse: Callable[..., Any], body: dict[str, Any], changes: dict[str, Any]
) -> None:
    for given_body in (body, VALID[parse] | changes):
        with suppress(UserError):
            for text in texts_of(parse(given_body)):
                if isinstance(text, TextRequest) and not text.is_empty:
                    to_generates(text, FILES)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_body_or_are_refused(data: bytes) -> None:
    with suppress(UserError):
        assert isinstance(parse_body(data), dict)
