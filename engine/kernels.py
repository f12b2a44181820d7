"""Which kernels the engine runs on here, and whether they may be trusted."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.memory import BLOCK_SIZE
from engine.network.precision import CACHE_DTYPE, activation_dtype
from metal_kernels import backend
from metal_kernels.backend import BackendDescription
from models.errors import InvalidInput

log = logging.getLogger("localllm.engine")


def describe_kernels() -> BackendDescription:
    """The kernels of this process and what would make them faster.

    Raises:
        InvalidInput: LOCALLLM_BACKEND or LOCALLLM_CPU_ISA asks for what this machine lacks.
    """
    try:
        return backend.describe()
    except ValueError as error:
        raise InvalidInput(str(error), hint="unset the variable") from None


def check_metal_kernels(
    config: Mapping[str, Any], quantizations: frozenset[str], results_path: Path
) -> None:
    """On a Mac, compare the kernels this network will launch with their definitions, once.

    A kernel that fails or does not compile is not used from then on; the log names it. Results are
    kept in `results_path` for this chip, system and version. Elsewhere nothing happens.
    """
    if backend.backend() != "metal":
        return
    from metal_kernels.metal.self_check import Needs, ensure_checked

    num_heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or config["hidden_size"] // num_heads)
    needs = Needs(
        quantizations=quantizations,
        dtype=activation_dtype(),
        pool_dtype=CACHE_DTYPE,
        num_heads=num_heads,
        num_kv_heads=int(config.get("num_key_value_heads") or num_heads),
        head_size=head_size,
        value_size=head_size,
        block_size=BLOCK_SIZE,
    )
    for result in ensure_checked(needs, results_path):
        if result.reason:
            log.warning("%s (%s) is not used: %s", result.kernel, result.variant, result.reason)
