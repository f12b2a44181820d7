"""Compile the CPU kernels in place, keeping build files, for work on metal_kernels/cpu."""

import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))

from hatch_build import build_libraries  # noqa: E402

build = root / "build" / "cpu"
build.mkdir(parents=True, exist_ok=True)
try:
    for library in build_libraries(root / "metal_kernels" / "cpu", root / "metal_kernels", build):
        print(library)
except subprocess.CalledProcessError as error:
    sys.exit(error.output.decode(errors="replace"))
