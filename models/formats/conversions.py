"""Which tensors of a GGUF file have another format in memory than in the file, and which one."""

from collections import Counter
from collections.abc import Iterable

from models.formats.ggml_types import BLOCK_FORMATS, loaded_format
from models.formats.gguf import TensorInfo

TIGHT_SHARE = 0.25
"""Of the machine's memory: expanded weights beyond it are kept smaller, with a small loss."""

_BYTES = {form.name: form.block_bytes / form.block_size for form in BLOCK_FORMATS.values()}


def loaded_formats(tensors: Iterable[TensorInfo], memory_bytes: int) -> dict[str, str]:
    """By the name of each tensor that is converted at load: the format it gets."""
    tensors = list(tensors)
    wanted = {each.name: loaded_format(each.quantization, is_tight=False) for each in tensors}
    changed = [each for each in tensors if wanted[each.name] != each.quantization]
    num_bytes = sum(each.num_parameters * _BYTES[wanted[each.name]] for each in changed)
    is_tight = num_bytes > memory_bytes * TIGHT_SHARE
    return {each.name: loaded_format(each.quantization, is_tight=is_tight) for each in changed}


def describe_conversions(tensors: Iterable[TensorInfo], memory_bytes: int) -> tuple[str, ...]:
    """For people: which formats become which, and in how many tensors."""
    tensors = list(tensors)
    targets = loaded_formats(tensors, memory_bytes)
    pairs = Counter(
        (each.quantization, targets[each.name]) for each in tensors if each.name in targets
    )
    return tuple(
        f"{stored} in {number} tensor{'s' if number > 1 else ''}, loaded as {target}"
        for (stored, target), number in sorted(pairs.items())
    )
