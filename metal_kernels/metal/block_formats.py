"""The GGUF block formats our shaders read, as their headers under shaders/blocks/ know them."""

from typing import Any, NamedTuple

import numpy as np

Bytes = np.ndarray[Any, Any]


class BlockFormat(NamedTuple):
    """Weights and bytes of a block, weights a lane reads at a time, headers it includes."""

    values: int
    bytes: int
    slice_values: int
    half_offsets: tuple[int, ...]
    """Where float16 scales lie; the rest of the bytes may be anything."""
    includes: tuple[str, ...] = ()


FORMATS = {
    "Q4_0": BlockFormat(32, 18, 16, (0,)),
    "Q4_1": BlockFormat(32, 20, 16, (0, 2)),
    "Q5_0": BlockFormat(32, 22, 16, (0,), ("five_bits",)),
    "Q5_1": BlockFormat(32, 24, 16, (0, 2), ("five_bits",)),
    "Q8_0": BlockFormat(32, 34, 16, (0,)),
    "Q2_K": BlockFormat(256, 84, 32, (80, 82)),
    "Q3_K": BlockFormat(256, 110, 32, (108,)),
    "Q4_K": BlockFormat(256, 144, 32, (0, 2), ("k_scales",)),
    "Q5_K": BlockFormat(256, 176, 32, (0, 2), ("k_scales",)),
    "Q6_K": BlockFormat(256, 210, 32, (208,)),
    "IQ4_NL": BlockFormat(32, 18, 16, (0,), ("iq4_values",)),
    "IQ4_XS": BlockFormat(256, 136, 32, (0,), ("iq4_values",)),
    "MXFP4": BlockFormat(32, 17, 16, ()),
}


def block_headers(quantization: str) -> tuple[str, ...]:
    """The shader files that define the struct of a quantization, in order; `unroll` goes before."""
    names = ("slice", *FORMATS[quantization].includes, quantization.lower())
    return tuple(f"blocks/{name}" for name in names)


def random_blocks(
    quantization: str, num_rows: int, num_columns: int, rng: np.random.Generator
) -> Bytes:
    """Valid blocks uint8 [N, row_bytes] of small weights, for checks."""
    form = FORMATS[quantization]
    num_blocks = num_columns // form.values
    blocks = rng.integers(0, 256, (num_rows, num_blocks, form.bytes), dtype=np.uint8)
    for at in form.half_offsets:
        scales = rng.uniform(-0.01, 0.01, (num_rows, num_blocks, 1)).astype(np.float16)
        blocks[:, :, at : at + 2] = scales.view(np.uint8)
    if quantization == "MXFP4":
        blocks[:, :, 0] = rng.integers(116, 122, (num_rows, num_blocks))
    return blocks.reshape(num_rows, -1)
