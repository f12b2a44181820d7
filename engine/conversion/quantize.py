"""A model as a GGUF file of other formats: a mix's choice for each tensor, computed in slabs."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from engine.conversion.mixes import DENSE, FILE_TYPE_NUMBERS, choose_types
from engine.conversion.source import Slab, WeightSource, read_facts, read_slabs
from metal_kernels import reference
from metal_kernels.quantize import quantize_blocks
from models.errors import InvalidInput, InvalidModelFile, Unsupported
from models.formats.gguf import TensorInfo
from models.formats.gguf_writer import NewTensor, encode_value, gguf_bytes, gguf_pieces
from models.store.new_files import NewFile, NewFiles

QUANTIZATION_VERSION = 2
"""Of GGML's block formats, kept in `general.quantization_version`."""

Importance = Mapping[str, np.ndarray]
"""How much an error counts, by tensor: float32 [matrices, K]; see `engine.conversion.importance`.
"""

_NOT_COPIED = ("general.alignment", "split.no", "split.count", "split.tensors.count")


def quantize_to_gguf(
    source: WeightSource,
    mix: str,
    *,
    importance: Importance | None = None,
    allow_requantize: bool = False,
) -> NewFiles:
    """The model in the mix's formats (see `mixes.BASE_TYPES`), as one file `model.gguf`.

    Nothing is computed before the file is read.

    Raises:
        InvalidInput: a tensor is quantized already, and `allow_requantize` is not given.
        Unsupported: a tensor's format is one that nothing here can read.
    """
    types = choose_types(
        mix, source.tensors, read_facts(source), has_importance=importance is not None
    )
    _check_sources(source, types, allow_requantize)
    tensors = [NewTensor(name, types[name], source.tensors[name].shape) for name in types]
    entries = {key: source.metadata_bytes(key) for key in source.metadata if key not in _NOT_COPIED}
    entries["general.file_type"] = encode_value(FILE_TYPE_NUMBERS[mix])
    entries["general.quantization_version"] = encode_value(QUANTIZATION_VERSION)
    read = partial(_read, source, importance or {})
    file = NewFile(
        "model.gguf", gguf_bytes(entries, tensors), partial(gguf_pieces, entries, tensors, read)
    )
    return NewFiles("gguf", (file,))


def _check_sources(source: WeightSource, types: Mapping[str, str], allow_requantize: bool) -> None:
    for name, wanted in types.items():
        stored = source.tensors[name].quantization
        if stored in DENSE or stored == wanted:
            continue
        if not reference.can_dequantize(stored):
            raise Unsupported(f"{name} is stored as {stored}, which nothing here converts")
        if not allow_requantize:
            raise InvalidInput(
                f"{name} is quantized already, as {stored}",
                hint="Start from the F16, BF16 or F32 original; --allow-requantize goes on "
                "from here, with a loss that adds up.",
            )


def _read(source: WeightSource, importance: Importance, wanted: NewTensor) -> Iterator[bytes]:
    tensor = source.tensors[wanted.name]
    for slab in read_slabs(source, tensor):
        yield convert_slab(slab, tensor, wanted.quantization, importance.get(tensor.name))


def convert_slab(
    slab: Slab, tensor: TensorInfo, wanted: str, importance: np.ndarray | None = None
) -> bytes:
    """Rows of `tensor` in another format.

    Raises:
        InvalidModelFile: a weight is not a number, or too large for the format.
    """
    stored, num_columns = tensor.quantization, tensor.shape[-1]
    if stored == wanted:
        return slab.rows.tobytes()
    if wanted in DENSE:
        return _as_dense(slab, tensor, wanted)
    weights = None
    if importance is not None and importance.shape[-1] == num_columns:
        weights = importance[min(slab.index, len(importance) - 1)]
    try:
        blocks = quantize_blocks(wanted, slab.rows, stored, num_columns, weights)
    except ValueError as error:
        raise InvalidModelFile(f"{tensor.name}: {error}") from None
    return blocks.tobytes()


def _as_dense(slab: Slab, tensor: TensorInfo, wanted: str) -> bytes:
    values = reference.dequantize_blocks(tensor.quantization, slab.rows, tensor.shape[-1])
    if wanted == "F32":
        return values.tobytes()
    if wanted == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise InvalidModelFile(
            f"{tensor.name}: has weights that F16 cannot hold", hint="BF16 and F32 can."
        )
    return halves.tobytes()
