"""Instructions that a variant spends in its loops, from its machine code: by nvdisasm, no GPU."""

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

LEAST = 100
"""Shorter loops do not decide a kernel's time."""

_LABEL = re.compile(r"^\s*(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?(\S+)([^;]*);")


class Loop(NamedTuple):
    """How many instructions of each kind stand between a label and the branch back to it."""

    kinds: Counter[str]

    def __str__(self) -> str:
        most = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common(6))
        return f"{self.kinds.total()} in a loop ({most})"


def describe_loops(cubin: bytes) -> str:
    """The two longest loops in words; empty without nvdisasm."""
    program = _nvdisasm()
    if program is None or not cubin:
        return ""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        run = subprocess.run([program, "-c", file.name], capture_output=True, text=True, check=True)
    loops = sorted(find_loops(run.stdout), key=lambda loop: -loop.kinds.total())
    return "".join(f"; {loop}" for loop in loops[:2] if loop.kinds.total() >= LEAST)


def find_loops(listing: str) -> list[Loop]:
    """Every branch back, with what it goes over again."""
    labels: dict[str, int] = {}
    kinds: list[str] = []
    loops = []
    for line in listing.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(kinds)
        elif instruction := _INSTRUCTION.search(line):
            kinds.append(instruction[1].split(".")[0])
            target = re.search(r"`\((\.L_x_\d+)\)", instruction[2])
            if kinds[-1] == "BRA" and target and target[1] in labels:
                loops.append(Loop(Counter(kinds[labels[target[1]] :])))
    return loops


@cache
def _nvdisasm() -> str | None:
    """On the path, or inside NVIDIA's own Python packages."""
    if found := shutil.which("nvdisasm"):
        return found
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    bundled = [str(p) for folder in folders or () for p in Path(folder).glob("*/bin/nvdisasm")]
    return bundled[0] if bundled else None
