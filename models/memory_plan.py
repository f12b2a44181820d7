"""How a model is laid out in memory, and what is given up where memory is short. Pure.

Only a conservative share of the machine's memory is planned with: on a Mac it is wired for the GPU,
and wiring more has taken whole machines down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from models.errors import Busy, InvalidInput
from models.fit import COMFORTABLE_SHARE, cache_token_bytes, small_token_bytes

KvType = Literal["f16", "q8_0"]
"""How keys and values are kept: 16 bits each, or 8 with a scale for each 32 of them."""

PROCESS_BYTES = 128 << 20
"""For the program itself."""

STEP_TOKENS = (512, 256, 128, 64)
"""Prompt tokens computed at once: the first is fastest, and each row has its activations."""

NUM_PARALLEL = 4
"""Conversations of full length the cache has room for where memory is plenty."""

MIN_CONTEXT_TOKENS = 1024
"""A context that nobody asked for is not cut below this; a model that has less is refused."""

LOGIT_ROWS = 64
"""Rows of a step whose logits may all be wanted."""


def parse_kv_type(text: str) -> KvType | None:
    """A type by its name; None for `auto`: 8 bits where memory is too short for 16.

    >>> parse_kv_type("Q8_0")
    'q8_0'
    """
    name = text.strip().lower()
    if name == "auto":
        return None
    if name not in get_args(KvType):
        raise InvalidInput(
            f"{text!r} is no type of keys and values",
            hint="write f16, q8_0, or auto: q8_0 only where memory is too short for f16",
        )
    return cast(KvType, name)


@dataclass(frozen=True)
class MemoryNeeds:
    """What a model takes, in bytes.

    weight_bytes         all weights, a draft model's too
    token_bytes          keys and values of one token in 16 bits; 0 where nothing grows with tokens
    small_token_bytes    the same in 8 bits; 0: cannot be had
    row_bytes            activations of one row of a step
    logit_bytes          logits of `LOGIT_ROWS` rows
    context_tokens       of one conversation
    is_context_asked     whether somebody asked for that length, so that less will not do
    num_parallel         conversations of that length at once; more than one is a wish
    kv_type              what was asked for; None: 8 bits where nothing else helps
    """

    weight_bytes: int
    token_bytes: int
    context_tokens: int
    small_token_bytes: int = 0
    row_bytes: int = 0
    logit_bytes: int = 0
    is_context_asked: bool = False
    num_parallel: int = NUM_PARALLEL
    kv_type: KvType | None = None

    @property
    def kv_types(self) -> tuple[KvType, ...]:
        """What keys and values may be kept as, the best first."""
        if not self.small_token_bytes:
            return ("f16",)
        return ("f16", "q8_0") if self.kv_type is None else (self.kv_type,)

    def bytes_per_token(self, kv_type: KvType) -> int:
        """Keys and values of one token."""
        return self.token_bytes if kv_type == "f16" else self.small_token_bytes


@dataclass(frozen=True)
class MemoryPlan:
    """What the memory is used for. `given_up` names what had to be, in the order it was."""

    budget_bytes: int
    weight_bytes: int
    cache_bytes: int
    step_bytes: int
    step_tokens: int
    context_tokens: int
    cache_tokens: int
    """In all conversations together."""
    kv_type: KvType = "f16"
    token_bytes: int = 0
    """Keys and values of one token, kept so."""
    given_up: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Weights, cache, activations and the program."""
        return self.weight_bytes + self.cache_bytes + self.step_bytes + PROCESS_BYTES

    def with_cache(self, cache_bytes: int, needs: MemoryNeeds) -> "MemoryPlan":
        """With a cache of a size that somebody else decided."""
        wanted = needs.context_tokens * needs.num_parallel
        cache_tokens = min(wanted, cache_bytes // self.token_bytes) if self.token_bytes else wanted
        return replace(
            self,
            cache_bytes=cache_tokens * self.token_bytes,
            cache_tokens=cache_tokens,
            context_tokens=min(cache_tokens, needs.context_tokens),
        )


def plan_memory(needs: MemoryNeeds, memory_bytes: int) -> MemoryPlan:
    """The layout on a machine with so much memory, budget included.

    In order: a smaller step; a shorter context, where none was asked for; 8 bits for the cache.

    Raises:
        Busy: nothing helps; the message has the numbers.
    """
    budget = int(memory_bytes * COMFORTABLE_SHARE)
    for kv_type in needs.kv_types:
        small = ("8 bits for keys and values",) if kv_type != needs.kv_types[0] else ()
        for step_tokens in STEP_TOKENS:
            plan = _plan(needs, budget, step_tokens, kv_type)
            smaller = (f"steps of {step_tokens} tokens",) if step_tokens < STEP_TOKENS[0] else ()
            if plan.context_tokens == needs.context_tokens:
                return replace(plan, given_up=(*smaller, *small))
        least = min(MIN_CONTEXT_TOKENS, needs.context_tokens)
        if plan.context_tokens >= least and not needs.is_context_asked:
            shorter = f"a context of {plan.context_tokens:,} tokens"
            return replace(plan, given_up=(*smaller, shorter, *small))
    raise _refusal(needs, plan, memory_bytes)


def _plan(needs: MemoryNeeds, budget: int, step_tokens: int, kv_type: KvType) -> MemoryPlan:
    """With steps of so many tokens, and as much cache as fits beside them."""
    token_bytes = needs.bytes_per_token(kv_type)
    step_bytes = step_tokens * needs.row_bytes + needs.logit_bytes
    room = max(budget - needs.weight_bytes - step_bytes - PROCESS_BYTES, 0)
    wanted = needs.context_tokens * needs.num_parallel
    cache_tokens = min(wanted, room // token_bytes) if token_bytes else wanted * (room > 0)
    return MemoryPlan(
        budget,
        needs.weight_bytes,
        cache_tokens * token_bytes,
        step_bytes,
        step_tokens,
        min(cache_tokens, needs.context_tokens),
        cache_tokens,
        kv_type,
        token_bytes,
    )


def _refusal(needs: MemoryNeeds, plan: MemoryPlan, memory_bytes: int) -> Busy:
    context = needs.context_tokens
    if not needs.is_context_asked:
        context = min(MIN_CONTEXT_TOKENS, context)
    token_bytes = plan.token_bytes
    wanted = needs.weight_bytes + plan.step_bytes + PROCESS_BYTES + context * token_bytes
    return Busy(
        f"not enough memory: {_gb(needs.weight_bytes)} of weights, "
        f"{_gb(context * token_bytes)} for a context of {context:,} tokens and "
        f"{_gb(plan.step_bytes + PROCESS_BYTES)} to compute are {_gb(wanted)}; "
        f"{_gb(plan.budget_bytes)} of {_gb(memory_bytes)} may be used",
        hint="ask for a shorter context (num_ctx), or take a smaller quantization or model",
    )


def row_bytes(width: int, feed_forward_width: int, value_bytes: int) -> int:
    """Activations of one row of a step, as measured on llama-like networks.

    The peak of a step of 64 or 512 rows over what is held between steps was 37.7 kB a row at widths
    256 and 768, and 321 kB at 2048 and 8192, in float32; this is 12 % more.
    """
    return (32 * width + 3 * feed_forward_width) * value_bytes


def make_needs(
    weight_bytes: int,
    metadata: Mapping[str, Any],
    *,
    context_tokens: int | None = None,
    num_parallel: int = NUM_PARALLEL,
    value_bytes: int = 2,
    kv_type: KvType | None = None,
) -> MemoryNeeds:
    """The needs of a model with GGUF's keys as metadata; None: the context it was trained with.

    `value_bytes` is 2 where activations are float16, as on Metal.
    """
    prefix = metadata.get("general.architecture", "")

    def number(name: str, default: int) -> int:
        value = metadata.get(f"{prefix}.{name}")
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    width = number("embedding_length", 4096)
    tokens = metadata.get("tokenizer.ggml.tokens")
    vocab_size = number("vocab_size", len(tokens) if tokens is not None else 131_072)
    token_bytes = cache_token_bytes(metadata)
    return MemoryNeeds(
        weight_bytes=weight_bytes,
        token_bytes=token_bytes,
        small_token_bytes=small_token_bytes(metadata),
        row_bytes=row_bytes(width, number("feed_forward_length", 4 * width), value_bytes),
        logit_bytes=LOGIT_ROWS * vocab_size * 4,
        context_tokens=context_tokens or number("context_length", 4096),
        is_context_asked=context_tokens is not None,
        num_parallel=num_parallel,
        kv_type=kv_type,
    )


def expected_tokens_s(
    weight_bytes: int, token_bytes: int, context_tokens: int, bandwidth_bytes_s: float
) -> float:
    """Decoding speed of one stream at best: every token reads all weights and its context's cache.

    An upper bound, exact for a dense model whose kernels wait for memory only.
    """
    return bandwidth_bytes_s / (weight_bytes + context_tokens * token_bytes)


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
