"""mlx-lm's network classes, with parts of ours swapped in.

The zoo is about 110 families that others keep. We take a family's module tree and replace the
attention call by the paged one, and let the head see only the rows that are sampled.
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import mlx.nn as nn

from engine.network.attention import attention
from engine.network.capped_attention import use_capped_attention
from engine.network.corrections import correct
from engine.network.latent_attention import use_latent_attention
from engine.network.sampled_rows import sample_rows_only
from engine.network.windows import add_windows, ignored_windows
from engine.network.yarn import unround_ramps
from models.errors import InvalidModelFile, Unsupported

RENAMED_FAMILIES = {
    "arcee": "llama",
    "deepseek_v41_text": "deepseek_v41",
    "falcon_mamba": "mamba",
    "gemma4_unified": "gemma4",
    "iquestcoder": "llama",
    "joyai_llm_flash": "deepseek_v3",
    "kimi_k2": "deepseek_v3",
    "llava": "mistral3",
    "minimax_m2": "minimax",
    "mistral": "llama",
    "olmo": "llama",
    "phi-msft": "phixtral",
    "qwen2_5_vl": "qwen2_vl",
    "xverse": "llama",
}
"""Families that mlx-lm serves with another's classes."""

LATENT_FAMILIES = {"deepseek_v2", "deepseek_v3", "glm4_moe_lite"}
"""Families whose attention keeps one latent for all heads."""

UNSCALED_FAMILIES = {"mixtral", "qwen2_moe"}
"""Families that ignore how positions are to be stretched, or refuse to hear of it."""

BROKEN_FAMILIES = {
    "olmo": "mlx-lm's class needs a package; ours is in `olmo.py`",
    "phi3small": "mlx-lm's class crashes the process (its attention is block-sparse)",
}
"""Families whose classes cannot be used, and why."""

NOT_FAMILIES = {
    "activations",
    "base",
    "bitlinear_layers",
    "cache",
    "gated_delta",
    "mla",
    "pipeline",
    "rope_utils",
    "ssm",
    "switch_layers",
}
"""Modules of the zoo that hold parts, not a network."""


def _zoo(name: str) -> Any:
    """A module of `mlx_lm.models`, without running `mlx_lm/__init__`.

    That imports transformers, 1.5 s of start-up that nothing here needs.
    """
    if "mlx_lm" not in sys.modules:
        spec = importlib.util.find_spec("mlx_lm")
        assert spec is not None
        package = ModuleType("mlx_lm")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["mlx_lm"] = package
    return importlib.import_module(f"mlx_lm.models.{name}")


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """The module tree of a config, weights still unset.

    Raises:
        Unsupported: mlx-lm has no such `model_type`.
        InvalidModelFile: the configuration lacks what the family needs.
    """
    model_type = str(config["model_type"])
    family = _family(model_type)
    module = _zoo(family)
    _use_our_attention()
    try:
        arguments = module.ModelArgs.from_dict(_as_family(config, family))
        network = cast(nn.Module, module.Model(arguments))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidModelFile(
            f"the configuration is not one of {model_type!r}: {error}"
        ) from error
    if family in LATENT_FAMILIES:
        use_latent_attention(network, config, _zoo)
    elif family in UNSCALED_FAMILIES and config.get("rope_scaling"):
        _scale_positions(network, config)
    correct(network, config, _zoo)
    windows = ignored_windows(config)
    if family == "gemma2":
        use_capped_attention(network, windows or [None] * len(network.layers))
    if windows is not None:
        add_windows(network, windows, _zoo)
    unround_ramps(network, config)
    sample_rows_only(network)
    return network


def _use_our_attention() -> None:
    """In every family that is loaded: one may be built of another's parts."""
    for name, module in list(sys.modules.items()):
        is_family = name.startswith("mlx_lm.models.") and name != "mlx_lm.models.base"
        if is_family and hasattr(module, "scaled_dot_product_attention"):
            vars(module)["scaled_dot_product_attention"] = attention


def _family(model_type: str) -> str:
    """The name of the module that serves a model type."""
    known = known_families()
    family = RENAMED_FAMILIES.get(model_type, model_type)
    for name in (family, family.replace("-", "_")):
        if name in BROKEN_FAMILIES:
            raise Unsupported(f"{model_type!r} does not run here: {BROKEN_FAMILIES[name]}")
        if name in known:
            return name
    raise Unsupported(
        f"model type {model_type!r} is not known here",
        hint=f"known types: {', '.join(known)}",
    )


def _as_family(config: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The config with what this family cannot take made harmless."""
    if config["model_type"] == "olmo":
        return {"rms_norm_eps": 1e-5, **config}
    if family in UNSCALED_FAMILIES:
        return {**config, "rope_scaling": None}
    if family in LATENT_FAMILIES and not config.get("rope_scaling"):
        return {**config, "rope_scaling": {"factor": 1.0} if family == "deepseek_v2" else None}
    return dict(config)


def _scale_positions(network: nn.Module, config: Mapping[str, Any]) -> None:
    for layer in network.layers:
        own = layer.self_attn.rope
        layer.self_attn.rope = _zoo("rope_utils").initialize_rope(
            own.dims, own.base, own.traditional, config["rope_scaling"],
            config["max_position_embeddings"],
        )  # fmt: skip


def make_states(network: nn.Module) -> list[Any]:
    """mlx-lm's own caches for one sequence."""
    caches: list[Any] = _zoo("cache").make_prompt_cache(network)
    return caches


def known_families() -> list[str]:
    """Every family of mlx-lm's zoo that can be used."""
    _zoo("base")
    found = pkgutil.iter_modules(sys.modules["mlx_lm.models"].__path__)
    return sorted({module.name for module in found} - NOT_FAMILIES - BROKEN_FAMILIES.keys())
