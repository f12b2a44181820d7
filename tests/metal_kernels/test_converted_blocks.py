"""Formats without a kernel in ones that have one, against gguf-py's own reading of both."""

import gguf
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.converted_blocks import convert_blocks
from models.formats.conversions import describe_conversions, loaded_formats
from models.formats.ggml_types import LOADED_AS
from models.formats.gguf import TensorInfo


def random_rows(name: str, num_rows: int, num_columns: int) -> np.ndarray:
    """Any codes at all, with scales that are ordinary numbers."""
    rng = np.random.default_rng(7)
    width, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    blocks = rng.integers(0, 256, (num_rows * num_columns // width, size), np.uint8)
    if name == "NVFP4":
        blocks[:, :4] = rng.integers(8, 120, (len(blocks), 4))
    elif name == "IQ1_M":
        half = rng.uniform(0.002, 0.2, len(blocks)).astype(np.float16).view(np.uint16)
        words = blocks[:, 48:].copy().view(np.uint16) & 0x0FFF
        shifts = np.array([12, 8, 4, 0], np.uint16)
        blocks[:, 48:] = (words | ((half[:, None] << shifts) & 0xF000)).view(np.uint8)
    else:
        at = -2 if name.startswith("TQ") else 0
        scale = rng.uniform(0.002, 0.2, (len(blocks), 1)).astype(np.float16).view(np.uint8)
        blocks[:, at : at + 2 or None] = scale
    if name == "TQ2_0":  # a code of three stands for nothing
        codes = blocks[:, :64]
        blocks[:, :64] = codes & ~((codes & 0xAA) >> 1)
    return blocks.reshape(num_rows, -1)


@pytest.mark.parametrize("name", sorted(LOADED_AS))
def test_the_nearest_format_holds_every_weight(name: str) -> None:
    rows = random_rows(name, 6, 512)
    expected = reference.dequantize_blocks(name, rows, 512)
    target = LOADED_AS[name]
    found = reference.dequantize_blocks(target, convert_blocks(name, target, rows, 512), 512)
    error = np.abs(found - expected) / np.abs(expected).max()
    assert error.max() <= (2**-11 if target == "F16" else 1e-6)


def test_what_would_be_too_large_is_kept_smaller() -> None:
    rows = random_rows("IQ2_S", 4, 256)
    expected = reference.dequantize_blocks("IQ2_S", rows, 256)
    found = reference.dequantize_blocks("Q8_0", convert_blocks("IQ2_S", "Q8_0", rows, 256), 256)
    assert np.abs(found - expected).max() <= np.abs(expected).max() / 200
    tensors = [TensorInfo("a", "IQ2_S", (4, 256), 328), TensorInfo("b", "Q4_K", (4, 256), 576)]
    assert loaded_formats(tensors, memory_bytes=1 << 20) == {"a": "F16"}
    assert loaded_formats(tensors, memory_bytes=1 << 10) == {"a": "Q8_0"}
    assert describe_conversions(tensors, 1 << 20) == ("IQ2_S in 1 tensor, loaded as F16",)
