"""A model's network with as many engines around it as a measurement needs, and prompts for them."""

import random
from dataclasses import dataclass
from pathlib import Path

import mlx.nn as nn

from engine.block_pool import BlockPool
from engine.disk_cache import DiskCache
from engine.draft_model import DraftModel
from engine.engine import Engine
from engine.kv_cache import KVCache, layer_windows, probe_layers
from engine.memory import BLOCK_SIZE
from engine.model_runner import ModelRunner
from engine.network.fusion import fuse
from engine.network.precision import KV_DTYPES
from engine.network_loading import load_network
from engine.plan import SchedulerLimits
from engine.request import Grammar, Request, SamplingParams, StepOutput
from engine.speculation import Drafter
from engine.verification import Matcher
from models.bundled import BUNDLED_PATH
from models.memory_plan import KvType
from models.resolve import resolve_path

Prompt = tuple[int, ...]


@dataclass(frozen=True)
class Setup:
    """A loaded network. Every engine of it has an empty cache of its own."""

    network: nn.Module
    num_logits: int
    kv_type: KvType = "f16"

    def make_runner(self, num_blocks: int) -> ModelRunner:
        """The network with memory for so many blocks."""
        shapes, windows = probe_layers(self.network), layer_windows(self.network)
        dtype = KV_DTYPES[self.kv_type]
        cache = KVCache(shapes, windows, num_blocks=num_blocks, block_size=BLOCK_SIZE, dtype=dtype)
        return ModelRunner(self.network, cache)

    def make_engine(
        self,
        num_blocks: int,
        *,
        drafter: Drafter | None = None,
        disk_cache: DiskCache | None = None,
        **limits: int,
    ) -> Engine:
        """An engine with a pool of so many blocks."""
        limits.setdefault("max_context_tokens", num_blocks * BLOCK_SIZE)
        return Engine(
            self.make_runner(num_blocks),
            BlockPool(num_blocks, BLOCK_SIZE),
            SchedulerLimits(**limits),
            eos_token_ids=frozenset(),
            num_logits=self.num_logits,
            make_matcher=_no_grammar,
            drafter=drafter,
            disk_cache=disk_cache,
        )

    def make_drafter(self, num_blocks: int) -> DraftModel:
        """This network as a draft model."""
        return DraftModel(
            self.make_runner(num_blocks),
            BlockPool(num_blocks, BLOCK_SIZE),
            num_logits=self.num_logits,
            max_context_tokens=num_blocks * BLOCK_SIZE,
            max_rows=512,
        )


def load_setup(path: Path | None, kv_type: KvType = "f16") -> Setup:
    """The model at `path`; None: pocket."""
    loaded = load_network(resolve_path(path or BUNDLED_PATH))
    fuse(loaded.network)
    loaded.network.eval()
    vocab_size = int(loaded.config.get("vocab_size") or loaded.tokenizer.vocab_size)
    return Setup(loaded.network, vocab_size, kv_type)


def random_prompt(rng: random.Random, num_logits: int, num_tokens: int) -> Prompt:
    """Tokens that mean nothing, so that no two prompts begin alike."""
    return tuple(rng.randrange(num_logits) for _ in range(num_tokens))


def make_request(
    request_id: str, prompt: Prompt, num_tokens: int, *, temperature: float = 0, seed: int = 0
) -> Request:
    """A request for exactly so many tokens."""
    sampling = SamplingParams(
        temperature=temperature, seed=seed, max_tokens=num_tokens, ignore_eos=True
    )
    return Request(request_id, prompt, sampling)


def run_all(engine: Engine, requests: list[Request], *, check: bool = False) -> list[list[int]]:
    """Every request's tokens, all requests at once; with `check`, blocks are counted each step."""
    for request in requests:
        engine.add_request(request)
    texts: dict[str, list[int]] = {request.id: [] for request in requests}
    while engine.has_unfinished:
        for output in engine.step():
            texts[output.request_id] += output.token_ids
        if check:
            engine.check_integrity()
    return [texts[request.id] for request in requests]


def run_one(engine: Engine, request: Request) -> list[StepOutput]:
    """One request's outputs."""
    engine.add_request(request)
    outputs: list[StepOutput] = []
    while engine.has_unfinished:
        outputs += engine.step()
    return outputs


def _no_grammar(grammar: Grammar) -> Matcher:
    raise AssertionError(f"no grammar here: {grammar}")
