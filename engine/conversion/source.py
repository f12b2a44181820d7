"""What conversions read: a model as GGUF would hold it, whatever files it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.conversion.mixes import Facts
from engine.network.gguf_values import Metadata
from models.formats.gguf import TensorInfo, Value

MAX_SLAB_WEIGHTS = 1 << 24
"""Rows are read in slabs of about so many weights, which bounds the memory a conversion takes."""


class WeightSource(Protocol):
    """Metadata and tensors by GGUF's names; a `GGUFFile` is one."""

    @property
    def metadata(self) -> Mapping[str, Value]:
        """Values by key."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor, in the order of the file."""

    def metadata_bytes(self, key: str) -> bytes:
        """A value as GGUF stores it, its type in front."""

    def tensor_bytes(self, name: str) -> np.ndarray:
        """Stored blocks: uint8 [rows, row_bytes], rows being all dimensions but the last."""


@dataclass(frozen=True)
class Slab:
    """Some rows of one tensor: `index` counts matrices (experts) of a three-dimensional one."""

    index: int
    rows: np.ndarray


def read_slabs(source: WeightSource, tensor: TensorInfo) -> Iterator[Slab]:
    """The rows of a tensor in order; no slab reaches across two matrices."""
    blocks = source.tensor_bytes(tensor.name)
    rows_each = tensor.shape[-2] if len(tensor.shape) > 1 else blocks.shape[0]
    rows_at_once = max(1, MAX_SLAB_WEIGHTS // tensor.shape[-1])
    for start in range(0, blocks.shape[0], rows_each):
        for row in range(start, start + rows_each, rows_at_once):
            stop = min(row + rows_at_once, start + rows_each)
            yield Slab(start // rows_each, blocks[row:stop])


def read_facts(source: WeightSource) -> Facts:
    """What the mixes' rules ask of a model.

    Raises:
        InvalidModelFile: the metadata lacks it.
    """
    metadata = Metadata(source.metadata)
    num_heads = _one_or_largest(metadata, ".attention.head_count", None)
    return Facts(
        architecture=metadata.architecture,
        num_layers=metadata.integer(".block_count"),
        num_heads=num_heads,
        num_kv_heads=_one_or_largest(metadata, ".attention.head_count_kv", num_heads),
        num_experts=metadata.integer(".expert_count", 0),
    )


def _one_or_largest(metadata: Metadata, key: str, default: int | None) -> int:
    """A number, which some models give for each layer."""
    value = metadata.value(key)
    if isinstance(value, np.ndarray) and value.size:
        return int(value.max())
    return metadata.integer(key, default)
