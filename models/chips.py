"""Apple's chips for Macs: how fast they read memory and with how much of it they are sold.

Bandwidth bounds decoding: every token reads all weights once. Figures are those of Apple's
technical specifications and announcements, in GB/s of 10^9 bytes; memory is in GiB, as sold.
"""

import re
import subprocess
import sys
from dataclasses import dataclass

from models.errors import InvalidInput
from models.name import near_names


@dataclass(frozen=True)
class Chip:
    """One chip. Where versions of a chip differ in bandwidth, each is a chip of its own."""

    name: str
    bandwidth_gb_s: float
    memory_sizes_gb: tuple[int, ...]


@dataclass(frozen=True)
class Machine:
    """A chip with a size of memory."""

    chip: Chip
    memory_bytes: int

    @property
    def name(self) -> str:
        """As `parse_machine` reads it."""
        return f"{self.chip.name} {self.memory_bytes >> 30}GB"

    @property
    def bandwidth_bytes_s(self) -> float:
        """Bytes read in a second, at best."""
        return self.chip.bandwidth_gb_s * 1e9


CHIPS = (
    Chip("M1", 68.25, (8, 16)),
    Chip("M1 Pro", 200, (16, 32)),
    Chip("M1 Max", 400, (32, 64)),
    Chip("M1 Ultra", 800, (64, 128)),
    Chip("M2", 100, (8, 16, 24)),
    Chip("M2 Pro", 200, (16, 32)),
    Chip("M2 Max", 400, (32, 64, 96)),
    Chip("M2 Ultra", 800, (64, 128, 192)),
    Chip("M3", 100, (8, 16, 24)),
    Chip("M3 Pro", 150, (18, 36)),
    Chip("M3 Max 30-core", 300, (36, 96)),
    Chip("M3 Max 40-core", 400, (48, 64, 128)),
    Chip("M3 Ultra", 819, (96, 256, 512)),
    Chip("M4", 120, (16, 24, 32)),
    Chip("M4 Pro", 273, (24, 48, 64)),
    Chip("M4 Max 32-core", 410, (36,)),
    Chip("M4 Max 40-core", 546, (48, 64, 128)),
    Chip("M5", 153, (16, 24, 32)),
    Chip("M5 Pro", 307, (24, 48, 64)),
    Chip("M5 Max 32-core", 460, (36,)),
    Chip("M5 Max 40-core", 614, (48, 64, 128)),
)
"""Cores in a name are those of the GPU. They may be left out where the memory decides."""


def parse_machine(text: str) -> Machine:
    """The machine that `text` names: a chip, and its memory unless it is sold with one size only.

    >>> parse_machine("m4 pro 24GB").bandwidth_bytes_s
    273000000000.0
    >>> parse_machine("Apple M4 Max 36 GB").chip.name
    'M4 Max 32-core'

    Raises:
        InvalidInput: no such chip, or not with so much memory.
    """
    words = re.sub(r"(\d+)\s*gi?b\b", r"\1gb", text.lower()).split()
    sizes = [int(word[:-2]) for word in words if re.fullmatch(r"\d+gb", word)]
    name = " ".join(w for w in words if w != "apple" and not re.fullmatch(r"\d+gb", w))
    chips = [chip for chip in CHIPS if _is_called(chip, name)]
    if not chips or len(sizes) > 1:
        near = near_names(name, [chip.name.lower() for chip in CHIPS])
        known = ", ".join(chip.name for chip in CHIPS)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {known}"
        raise InvalidInput(f"no chip is called {text!r}", hint=hint)
    found = [
        Machine(chip, size << 30)
        for chip in chips
        for size in chip.memory_sizes_gb
        if size in (sizes or chip.memory_sizes_gb)
    ]
    if len(found) != 1:
        sold = ", ".join(f"{chip.name} {s}GB" for chip in chips for s in chip.memory_sizes_gb)
        raise InvalidInput(f"{text!r} does not name one machine", hint=f"write one of: {sold}")
    return found[0]


def _is_called(chip: Chip, name: str) -> bool:
    full = chip.name.lower()
    return name in (full, full.rpartition(" ")[0] if full.endswith("-core") else full)


def find_this_machine() -> Machine | None:
    """The Mac we run on; None on other machines, and on Macs newer than the table."""
    if sys.platform != "darwin":
        return None
    asked = ["sysctl", "-n", "machdep.cpu.brand_string", "hw.memsize"]
    brand, memory = subprocess.run(asked, capture_output=True, text=True).stdout.split("\n")[:2]
    try:
        return parse_machine(f"{brand} {int(memory) >> 30}GB")
    except (InvalidInput, ValueError):
        return None
