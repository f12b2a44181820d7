"""A draft model put beside a target: same vocabulary, memory of its own, nothing else shared."""

from engine.block_pool import BlockPool
from engine.draft_model import DraftModel
from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.memory import BLOCK_SIZE
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.precision import KV_DTYPES
from engine.network_loading import LoadedNetwork
from engine.plan import SchedulerLimits
from engine.tokenizer import Tokenizer
from models.errors import InvalidInput


def cache_token_bytes(draft: LoadedNetwork) -> int:
    """Bytes of the draft's keys and values for one token; they always have 16 bits."""
    return sum(shape.token_bytes(KV_DTYPES["f16"]) for shape in probe_layers(draft.network))


def make_draft_model(
    draft: LoadedNetwork, target: LoadedNetwork, num_blocks: int, limits: SchedulerLimits
) -> DraftModel:
    """The drafter for an engine with `num_blocks` blocks and these limits."""
    fuse(draft.network)
    draft.network.eval()
    cache = KVCache(
        probe_layers(draft.network),
        layer_windows(draft.network),
        num_blocks=num_blocks,
        block_size=BLOCK_SIZE,
        dtype=KV_DTYPES["f16"],
    )
    trained = int(draft.config.get("max_position_embeddings") or 2048)
    return DraftModel(
        ModelRunner(draft.network, cache),
        BlockPool(num_blocks, BLOCK_SIZE),
        num_logits=int(target.config.get("vocab_size") or target.tokenizer.vocab_size),
        max_context_tokens=min(trained, limits.max_context_tokens),
        max_rows=limits.max_step_tokens,
    )


def check_same_tokens(draft: Tokenizer, target: Tokenizer) -> None:
    """Token ids must mean the same to both; one of them may have more at the end.

    Raises:
        InvalidInput: with the first token that differs.
    """
    shared = min(draft.vocab_size, target.vocab_size)
    for index in range(shared):
        ours, theirs = target.token_bytes(index), draft.token_bytes(index)
        if ours != theirs or target.is_special(index) != draft.is_special(index):
            raise InvalidInput(
                f"the draft model has other tokens: {index} is {theirs!r} there, {ours!r} here",
                hint="a draft model must have the tokenizer of the model it drafts for, as smaller "
                "models of one family do",
            )
