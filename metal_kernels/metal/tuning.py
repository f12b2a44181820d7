"""Which kernel takes how many rows, and its layout: by chip family, and as users override it.

Results do not depend on these beyond rounding; speed does. The table is reasoned from published
core counts, not measured; `localllm doctor --tune` measures on the machine it runs on (`tuner`).
"""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx

from metal_kernels.metal.kept_table import read_table, write_table

VARIABLE = "LOCALLLM_METAL_TUNING"
"""Overrides single values: "small_max_rows=16,attention_threadgroups=256"."""


class Tuning(NamedTuple):
    """What the launch modules ask for."""

    matvec_max_rows: int = 4
    """Rows of x up to which the mat-vec kernel runs; 0 for never."""
    matvec_weight_rows: int = 4
    """Rows of the weights a simdgroup keeps."""
    matvec_simdgroups: int = 2
    small_max_rows: int = 32
    """Rows of x up to which the matrix kernel runs; above, weights are dequantized first."""
    small_simdgroups: int = 4
    """They split the columns of the weights among them."""
    small_wide_outputs: int = 4096
    """Rows of the weights from which a threadgroup makes 32 outputs, not 16."""
    attention_threadgroups: int = 128
    """Splits of the keys stop when this many threadgroups run; eight fill a core."""
    attention_matrix_rows: int = 5
    """Rows that share a kv head from which attention goes by 8x8 matrices; 1000 for never."""
    attention_split_row_tokens: int = 32
    """Least tokens of a split for each row over them: 32 keep what splits add, their sums and the
    queries they read again, below 5 % of the keys and values; fewer give work to more cores."""


CHOICES = {
    "matvec_max_rows": (0, 1, 2, 3, 4),
    "matvec_weight_rows": (1, 2, 4, 8),
    "matvec_simdgroups": (1, 2, 4, 8),
    "small_max_rows": (0, 4, 8, 16, 24, 32),
    "small_simdgroups": (1, 2, 4, 8),
    "small_wide_outputs": (1024, 2048, 4096, 8192, 16384),
    "attention_threadgroups": (32, 64, 128, 256, 320, 512, 640, 1024),
    "attention_matrix_rows": (1, 2, 3, 5, 9, 1000),
    "attention_split_row_tokens": (8, 16, 24, 32, 48),
}
"""The values that are accepted, and among which the tuner chooses."""

FAMILIES = {
    "p": Tuning(attention_threadgroups=64),
    "g": Tuning(attention_threadgroups=128),
    "s": Tuning(attention_threadgroups=320, small_wide_outputs=8192),
    "d": Tuning(attention_threadgroups=640, small_wide_outputs=16384),
}
"""By the letter that ends the GPU's architecture: phone, base and Pro, Max, Ultra. About eight
threadgroups a core, of which the last two have up to 40 and 80."""


def family_of(architecture: str) -> str:
    """The table's letter for a name such as "applegpu_g15s"; an unknown one counts as base.

    >>> family_of("applegpu_g15s"), family_of("")
    ('s', 'g')
    """
    letter = architecture[-1:]
    return letter if architecture.startswith("applegpu_") and letter in FAMILIES else "g"


def parse_overrides(text: str) -> dict[str, int]:
    """The values a user sets. ValueError names what would have been accepted.

    >>> parse_overrides("small_max_rows=16")
    {'small_max_rows': 16}
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in CHOICES:
            raise ValueError(f"{VARIABLE}: {name!r} is not one of {', '.join(CHOICES)}")
        if value not in map(str, CHOICES[name]):
            accepted = ", ".join(map(str, CHOICES[name]))
            raise ValueError(f"{VARIABLE}: {name} may be {accepted}, not {value!r}")
        found[name] = int(value)
    return found


_measured: dict[str, int] = {}


def current() -> Tuning:
    """What holds in this process: the variable, else what was measured, else the family's."""
    return _combine(tuple(_measured.items()), os.environ.get(VARIABLE, ""))


@cache
def _combine(measured: tuple[tuple[str, int], ...], overrides: str) -> Tuning:
    architecture = str(mx.device_info().get("architecture", ""))
    chosen = FAMILIES[family_of(architecture)]._replace(**dict(measured))
    return chosen._replace(**parse_overrides(overrides))


def use(measured: dict[str, int]) -> None:
    """Let these values hold from here on, as far as they are accepted."""
    _measured.clear()
    _measured.update({k: v for k, v in measured.items() if v in CHOICES.get(k, ())})


def load(path: Path, machine: str) -> None:
    """Use what was measured on this `machine` (see `self_check.fingerprint`), if anything was."""
    measured = read_table(path).get(machine)
    use(measured if isinstance(measured, dict) else {})


def keep(path: Path, machine: str, measured: dict[str, int]) -> None:
    """Write what was measured on this machine; what was measured on others is forgotten."""
    write_table(path, {machine: measured})
