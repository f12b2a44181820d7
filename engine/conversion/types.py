"""What a user may ask a model to be quantized to: a GGUF mix, or MLX's affine format."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from engine.conversion.mixes import BASE_TYPES, DENSE
from metal_kernels.quantized import AFFINE_BITS, AFFINE_GROUP_SIZES
from models.errors import InvalidInput

DEFAULT_GROUP_SIZE = 64

_AFFINE = re.compile(r"mlx-(\d+)bit(?:-g(\d+))?", re.IGNORECASE)
_SHORT = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}


@dataclass(frozen=True)
class Affine:
    """MLX's format: codes of `bits`, a scale and an offset for each `group_size` columns."""

    bits: int
    group_size: int

    @property
    def label(self) -> str:
        """As a user writes it."""
        group = "" if self.group_size == DEFAULT_GROUP_SIZE else f"-g{self.group_size}"
        return f"mlx-{self.bits}bit{group}"


def parse_type(text: str) -> str | Affine:
    """The mix's label, or the affine format, that `text` names, in any case.

    >>> parse_type("q4_k"), parse_type("mlx-4bit").group_size
    ('Q4_K_M', 64)

    Raises:
        InvalidInput: there is none of that name; the hint has the nearest.
    """
    label = _SHORT.get(text.upper(), text.upper())
    if label in BASE_TYPES:
        return label
    match = _AFFINE.fullmatch(text)
    if match:
        bits, group_size = int(match[1]), int(match[2] or DEFAULT_GROUP_SIZE)
        if bits in AFFINE_BITS and group_size in AFFINE_GROUP_SIZES:
            return Affine(bits, group_size)
        raise InvalidInput(
            f"{text}: bits must be one of {AFFINE_BITS}, the group size one of {AFFINE_GROUP_SIZES}"
        )
    known = [*BASE_TYPES, *(Affine(bits, DEFAULT_GROUP_SIZE).label.upper() for bits in AFFINE_BITS)]
    near = get_close_matches(label, known, n=1, cutoff=0.5)
    meant = (
        f"Did you mean {near[0].replace('MLX-', 'mlx-').replace('BIT', 'bit')}? " if near else ""
    )
    quants = ", ".join(label for label in BASE_TYPES if label not in DENSE)
    raise InvalidInput(
        f"no such type {text!r}",
        hint=f"{meant}Known: {quants}, {', '.join(DENSE)}, and mlx-2bit to mlx-8bit.",
    )
