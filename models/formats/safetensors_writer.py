"""Writes safetensors files as a stream: the header first, then one tensor after the other.

Source: the safetensors format description (huggingface/safetensors, README).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from models.formats.safetensors import DTYPE_BITS


@dataclass(frozen=True)
class NewStoredTensor:
    """A tensor to be written; `dtype` as safetensors names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of its items."""
        return prod(self.shape) * DTYPE_BITS[self.dtype] // 8


def safetensors_bytes(tensors: Sequence[NewStoredTensor], metadata: Mapping[str, str]) -> int:
    """The size of the file that `safetensors_pieces` writes."""
    return len(_header(tensors, metadata)) + sum(tensor.num_bytes for tensor in tensors)


def safetensors_pieces(
    tensors: Sequence[NewStoredTensor],
    metadata: Mapping[str, str],
    read: Callable[[NewStoredTensor], Iterable[bytes]],
) -> Iterator[bytes]:
    """The whole file in pieces. `read` gives a tensor's bytes when its turn comes."""
    yield _header(tensors, metadata)
    for tensor in tensors:
        written = 0
        for piece in read(tensor):
            written += len(piece)
            yield piece
        assert written == tensor.num_bytes, f"{tensor}: {written} bytes"


def _header(tensors: Sequence[NewStoredTensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    start = 0
    for tensor in tensors:
        stop = start + tensor.num_bytes
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw
