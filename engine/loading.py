"""From files to a model that runs: network, weights, tokenizer, cache and engine."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.nn as nn

from engine.block_pool import BlockPool
from engine.disk_cache import DiskCache
from engine.draft_loading import cache_token_bytes, check_same_tokens, make_draft_model
from engine.draft_model import DraftModel
from engine.embedding import Embedder
from engine.engine import Engine
from engine.kernels import replaced_kernels
from engine.memory import BLOCK_SIZE, num_blocks
from engine.model_runner import ModelRunner
from engine.network.long_rope import fit_rope_to_context
from engine.network.lora import adapter_digest
from engine.network.precision import KV_DTYPES
from engine.network_loading import LoadedNetwork, load_network
from engine.plan import SchedulerLimits
from engine.request import Grammar
from engine.runner_loading import make_runner
from engine.state_runner import StateRunner
from engine.text.chat_template import ChatTemplate
from engine.text.grammar import GrammarMatcher, make_grammar_vocabulary
from engine.tokenizer import Tokenizer
from metal_kernels import backend
from models.errors import InvalidInput
from models.files import ModelFiles
from models.memory_plan import KvType

log = logging.getLogger("localllm.engine")


@dataclass(frozen=True)
class EngineOptions:
    """What a user may decide when a model is loaded; None means: as the model and machine allow."""

    max_context_tokens: int | None = None
    kv_cache_bytes: int | None = None
    kv_type: KvType | None = None
    """None: 8 bits where memory is too short for 16."""
    max_step_tokens: int = 512
    max_running: int = 64
    max_draft_tokens: int = 16
    """0 turns speculation off."""
    draft: ModelFiles | None = None
    """A smaller model with the same tokens that drafts for this one."""
    is_draft_needed: bool = True
    """Whether it is an error when that one has other tokens; else it is left out."""
    num_threads: int | None = None
    adapter: Path | None = None
    prefix_directory: Path | None = None
    """Where prefixes outlive the process; None: nowhere."""
    prefix_bytes: int = 4 * 2**30
    """For the prefixes of one model on disk."""
    kernel_checks: Path | None = None
    """File of the Metal kernels' checks on this machine; None: they are trusted unchecked."""


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded, for people."""

    name: str
    architecture: str
    quantization: str
    context_length: int
    """Tokens one conversation may have here."""
    trained_context_length: int
    num_parameters: int
    weight_bytes: int
    embedding_length: int
    kv_type: KvType
    kv_token_bytes: int
    """Bytes of one token's keys and values, a draft model's too."""
    replaced_kernels: tuple[str, ...] = ()
    """Metal kernels that failed their check on this machine, and how."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be asked."""

    info: ModelInfo
    tokenizer: Tokenizer
    chat_template: ChatTemplate
    engine: Engine
    embedder: Embedder


def load_model(
    files: ModelFiles,
    options: EngineOptions,
    observe: Callable[[nn.Module], None] = lambda _network: None,
) -> LoadedModel:
    """Load a model and put an engine around it.

    `observe` is shown the network before its layers are fused, and may put others around them.

    Raises:
        InvalidModelFile: the files are damaged or do not fit together.
        Unsupported: nothing here can run this architecture.
        InvalidInput: an option is out of range.
        Busy: there is not enough memory.
    """
    if options.num_threads is not None:
        backend.set_num_threads(options.num_threads)
    loaded = load_network(files, options.adapter, options.kernel_checks)
    draft = _load_draft(files, options, loaded)
    observe(loaded.network)
    trained = int(loaded.config.get("max_position_embeddings") or 2048)
    context = min(_wanted_context(options), trained)
    fit_rope_to_context(loaded.network, loaded.config, context)
    weight_bytes = loaded.weights.num_bytes + (draft.weights.num_bytes if draft else 0)
    runner, plan = make_runner(
        loaded.network,
        loaded.config,
        weight_bytes=weight_bytes,
        draft_token_bytes=cache_token_bytes(draft) if draft else 0,
        context_tokens=context,
        is_context_asked=options.max_context_tokens is not None,
        kv_cache_bytes=options.kv_cache_bytes,
        kv_type=options.kv_type,
    )
    for given_up in plan.given_up:
        log.warning("%s has little memory here; it makes do with %s", files.name, given_up)
    if plan.kv_type != (options.kv_type or plan.kv_type):
        log.warning(
            "%s keeps keys and values as %s: its layers do not fit %s",
            files.name, plan.kv_type, options.kv_type,
        )  # fmt: skip
    pool = BlockPool(num_blocks(plan), BLOCK_SIZE)
    limits = SchedulerLimits(
        max_step_tokens=min(options.max_step_tokens, plan.step_tokens),
        max_running=options.max_running,
        max_context_tokens=min(context, pool.num_blocks * BLOCK_SIZE),
        max_draft_tokens=options.max_draft_tokens if runner.is_paged else 0,
    )
    info = ModelInfo(
        name=files.name,
        architecture=str(loaded.config["model_type"]),
        quantization=loaded.weights.quantization,
        context_length=limits.max_context_tokens,
        trained_context_length=trained,
        num_parameters=loaded.weights.num_parameters,
        weight_bytes=weight_bytes,
        embedding_length=int(loaded.config.get("hidden_size") or 0),
        kv_type=plan.kv_type,
        kv_token_bytes=plan.token_bytes,
        replaced_kernels=tuple(replaced_kernels()),
    )
    disk_cache = _open_disk_cache(files, options, plan.kv_type) if runner.is_paged else None
    if draft is not None and not runner.is_paged:
        raise InvalidInput(f"{files.name} takes no draft model: its state cannot be cut back")
    drafter = None if draft is None else make_draft_model(draft, loaded, pool.num_blocks, limits)
    engine = _make_engine(loaded, runner, pool, limits, disk_cache, drafter)
    cache = runner.kv_cache if isinstance(runner, ModelRunner) else None
    embedder = Embedder(files, loaded.network, cache, pool, max_step_tokens=limits.max_step_tokens)
    return LoadedModel(info, loaded.tokenizer, loaded.chat_template, engine, embedder)


def _load_draft(
    files: ModelFiles, options: EngineOptions, target: LoadedNetwork
) -> LoadedNetwork | None:
    if options.draft is None:
        return None
    if options.draft.digest == files.digest and not options.is_draft_needed:
        return None
    draft = load_network(options.draft)
    try:
        check_same_tokens(draft.tokenizer, target.tokenizer)
    except InvalidInput as error:
        if options.is_draft_needed:
            raise
        log.warning("%s does not draft for it: %s", options.draft.name, error.message)
        return None
    return draft


def _open_disk_cache(
    files: ModelFiles, options: EngineOptions, kv_type: KvType
) -> DiskCache | None:
    """The second tier, for exactly these weights, this adapter and this layout of a block."""
    if options.prefix_directory is None or not options.prefix_bytes:
        return None
    adapter = adapter_digest(options.adapter) if options.adapter else ""
    layout = f"{backend.backend()} {KV_DTYPES[kv_type]} {BLOCK_SIZE}"
    fingerprint = f"{files.digest} {adapter} {layout}"
    try:
        return DiskCache(options.prefix_directory, fingerprint, options.prefix_bytes)
    except OSError as error:
        log.warning("prefixes are not kept on disk: %s", error)
        return None


def _make_engine(
    loaded: LoadedNetwork,
    runner: ModelRunner | StateRunner,
    pool: BlockPool,
    limits: SchedulerLimits,
    disk_cache: DiskCache | None,
    drafter: DraftModel | None,
) -> Engine:
    vocabulary = None

    def make_matcher(grammar: Grammar) -> GrammarMatcher:
        nonlocal vocabulary
        vocabulary = vocabulary or make_grammar_vocabulary(
            loaded.tokenizer, loaded.config.get("vocab_size")
        )
        return GrammarMatcher(grammar, vocabulary)

    return Engine(
        runner,
        pool,
        limits,
        eos_token_ids=loaded.tokenizer.eos_token_ids,
        num_logits=int(loaded.config.get("vocab_size") or loaded.tokenizer.vocab_size),
        make_matcher=make_matcher,
        disk_cache=disk_cache,
        drafter=drafter,
    )


def _wanted_context(options: EngineOptions) -> int:
    if options.max_context_tokens is None:
        return 1_000_000_000
    if options.max_context_tokens < 4:
        raise InvalidInput(
            f"a context of {options.max_context_tokens} tokens; at least 4 is needed"
        )
    return options.max_context_tokens
