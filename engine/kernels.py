"""Which kernels the engine runs on here, and whether they may be trusted."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.memory import BLOCK_SIZE
from engine.network.fusion import SIBLINGS
from engine.network.precision import KV_DTYPES, activation_dtype
from metal_kernels import backend
from metal_kernels.backend import BackendDescription
from metal_kernels.int8_rows import takes_int8
from models.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from metal_kernels.metal.check_cases import Product

log = logging.getLogger("localllm.engine")


class StoredMatrix(NamedTuple):
    """A matrix as its file has it."""

    quantization: str
    num_rows: int
    is_stack: bool = False
    """One of several matrices of which rows pick theirs by id."""


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
    config: Mapping[str, Any], matrices: Mapping[str, StoredMatrix], results_path: Path
) -> None:
    """On a Mac, compare the kernels this network will launch with their definitions, once.

    A kernel that fails or does not compile is not used from then on; the log names it. Results are
    kept in `results_path` for this chip, system and version. Elsewhere nothing happens. `matrices`
    are those that are kept as blocks, by the path of their layer.

    Raises:
        InvalidInput: LOCALLLM_METAL_TUNING is not understood.
    """
    if backend.backend() != "metal":
        return
    from metal_kernels.metal import self_check, tuning
    from metal_kernels.metal.check_cases import Needs

    key_size, value_size, num_kv_heads = attention_sizes(config)
    needs = Needs(
        products=launched_products(matrices),
        dtype=activation_dtype(),
        pool_dtype=KV_DTYPES["f16"],
        num_heads=int(config["num_attention_heads"]),
        num_kv_heads=num_kv_heads,
        head_size=key_size,
        value_size=value_size,
        block_size=BLOCK_SIZE,
        stacks=frozenset(m.quantization for m in matrices.values() if m.is_stack),
    )
    tuning.load(tuning_file(results_path), self_check.fingerprint())
    both = [needs]
    if takes_int8(key_size, value_size):  # where memory is short, that is found out too late
        nothing: frozenset[str] = frozenset()
        both.append(
            needs._replace(products=frozenset(), stacks=nothing, pool_dtype=KV_DTYPES["q8_0"])
        )
    try:
        if not all(self_check.is_checked(each, results_path) for each in both):
            log.info("Metal kernels are compiled and checked, once on this machine")
        results = [r for each in both for r in self_check.ensure_checked(each, results_path)]
    except ValueError as error:
        raise InvalidInput(str(error), hint=f"correct or unset {tuning.VARIABLE}") from None
    for result in results:
        if result.reason:
            log.warning("%s (%s) is not used: %s", result.kernel, result.variant, result.reason)


def attention_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Sizes of a key and a value of one head, and the heads that are kept."""
    num_heads = int(config["num_attention_heads"])
    rank = config.get("kv_lora_rank")
    if rank and config.get("latent_cache", config["model_type"] != "deepseek_v2"):
        return rank + config["qk_rope_head_dim"], rank, 1
    if rank:
        key_size = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        return key_size, config["v_head_dim"], num_heads
    size = int(config.get("head_dim") or config["hidden_size"] // num_heads)
    return size, size, int(config.get("num_key_value_heads") or num_heads)


def launched_products(matrices: Mapping[str, StoredMatrix]) -> "frozenset[Product]":
    """What is multiplied in one launch: siblings together, and each alone for when that fails."""
    from metal_kernels.metal.check_cases import Product

    matrices = {path: matrix for path, matrix in matrices.items() if not matrix.is_stack}
    products = {Product((matrix.quantization,), matrix.num_rows) for matrix in matrices.values()}
    for parent in {path.rpartition(".")[0] for path in matrices}:
        for names in SIBLINGS:
            found = [matrices.get(f"{parent}.{name}") for name in names]
            group = [matrix for matrix in found if matrix is not None]
            if len(group) == len(names):
                formats = tuple(matrix.quantization for matrix in group)
                products.add(Product(formats, sum(matrix.num_rows for matrix in group)))
    return frozenset(products)


def tuning_file(results_path: Path) -> Path:
    """Where `doctor --tune` keeps what it measured: beside the results of the checks."""
    return results_path.with_name("tuning.json")


def tune_metal_kernels(
    results_path: Path, report: Callable[[dict[str, int], float], object]
) -> dict[str, int]:
    """Measure the layouts of the Metal kernels and keep the fastest beside `results_path`.

    They hold for models that are loaded from then on. `report` is told each candidate and its
    seconds.

    Raises:
        Unsupported: other kernels run here.
        InvalidInput: LOCALLLM_METAL_TUNING would hide what is measured.
    """
    from metal_kernels.metal import self_check, tuner, tuning

    if (found := describe_kernels().backend) != "metal":
        raise Unsupported(
            f"there is nothing to tune: the kernels here are {found!r}",
            hint="Metal kernels run on Apple GPUs",
        )
    if os.environ.get(tuning.VARIABLE):
        raise InvalidInput(
            f"{tuning.VARIABLE} overrides what would be measured",
            hint=f"unset {tuning.VARIABLE}",
        )
    chosen = tuner.tune(tuner.Workload(), tuner.launch_time, lambda found: report(*found))
    tuning.keep(tuning_file(results_path), self_check.fingerprint(), chosen)
    return chosen


def replaced_kernels() -> list[str]:
    """Metal kernels this process does without, and why; empty elsewhere."""
    from metal_kernels.metal import trust

    return [f"{kernel}: {reason}" for kernel, reason in trust.broken().items()]


def failed_kernel_checks(results_path: Path) -> list[str]:
    """Metal kernels that a check on this machine found broken, and why; empty elsewhere."""
    if backend.backend() != "metal":
        return []
    from metal_kernels.metal.self_check import failures

    return [f"{r.kernel} ({r.variant}): {r.reason}" for r in failures(results_path)]
