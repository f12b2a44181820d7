"""The number formats of GGUF: what a tensor type is called and how many bytes its blocks take.

Source: ggml.h (`enum ggml_type`, the `block_*` structs) and llama.h (`enum llama_ftype`).
"""

from typing import NamedTuple


class BlockFormat(NamedTuple):
    """`block_size` consecutive weights of one row are stored in `block_bytes` bytes."""

    name: str
    block_size: int
    block_bytes: int


BLOCK_FORMATS: dict[int, BlockFormat] = {
    0: BlockFormat("F32", 1, 4),
    1: BlockFormat("F16", 1, 2),
    2: BlockFormat("Q4_0", 32, 18),
    3: BlockFormat("Q4_1", 32, 20),
    6: BlockFormat("Q5_0", 32, 22),
    7: BlockFormat("Q5_1", 32, 24),
    8: BlockFormat("Q8_0", 32, 34),
    9: BlockFormat("Q8_1", 32, 40),
    10: BlockFormat("Q2_K", 256, 84),
    11: BlockFormat("Q3_K", 256, 110),
    12: BlockFormat("Q4_K", 256, 144),
    13: BlockFormat("Q5_K", 256, 176),
    14: BlockFormat("Q6_K", 256, 210),
    15: BlockFormat("Q8_K", 256, 292),
    16: BlockFormat("IQ2_XXS", 256, 66),
    17: BlockFormat("IQ2_XS", 256, 74),
    18: BlockFormat("IQ3_XXS", 256, 98),
    19: BlockFormat("IQ1_S", 256, 50),
    20: BlockFormat("IQ4_NL", 32, 18),
    21: BlockFormat("IQ3_S", 256, 110),
    22: BlockFormat("IQ2_S", 256, 82),
    23: BlockFormat("IQ4_XS", 256, 136),
    24: BlockFormat("I8", 1, 1),
    25: BlockFormat("I16", 1, 2),
    26: BlockFormat("I32", 1, 4),
    27: BlockFormat("I64", 1, 8),
    28: BlockFormat("F64", 1, 8),
    29: BlockFormat("IQ1_M", 256, 56),
    30: BlockFormat("BF16", 1, 2),
    34: BlockFormat("TQ1_0", 256, 54),
    35: BlockFormat("TQ2_0", 256, 66),
    39: BlockFormat("MXFP4", 32, 17),
    40: BlockFormat("NVFP4", 64, 36),
    41: BlockFormat("Q1_0", 128, 18),
}

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
}
"""`general.file_type` to the label of the whole file's mix of formats."""

LOADED_AS: dict[str, str] = {
    "IQ1_S": "Q6_K",
    "IQ1_M": "Q6_K",
    "IQ2_XXS": "F16",
    "IQ2_XS": "F16",
    "IQ2_S": "F16",
    "IQ3_XXS": "Q6_K",
    "IQ3_S": "Q6_K",
    "TQ1_0": "Q2_K",
    "TQ2_0": "Q2_K",
    "NVFP4": "F16",
}
"""Formats without a kernel, and the one that holds them without loss (F16: rounded to 11 bits)."""

SMALLER = "Q8_0"
"""Instead of F16 where the weights would take too much memory; rounded to the 127th part of the
largest of 32."""


def loaded_format(name: str, *, is_tight: bool) -> str:
    """The format a tensor has in memory; its own where there is a kernel for it.

    >>> loaded_format("IQ3_S", is_tight=True), loaded_format("IQ2_S", is_tight=True)
    ('Q6_K', 'Q8_0')
    >>> loaded_format("Q4_K", is_tight=False)
    'Q4_K'
    """
    wanted = LOADED_AS.get(name, name)
    return SMALLER if is_tight and name in LOADED_AS and wanted == "F16" else wanted
