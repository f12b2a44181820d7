"""The CUDA text of our shaders: a compiler accepts it for every kernel, with no GPU at hand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from metal_kernels.metal import fence
from scripts.shaders_cuda import gpu as cuda_gpu
from scripts.shaders_cuda.disassembly import find_loops
from scripts.shaders_cuda.gpu import Gpu
from tests.metal_shaders.variants import operations

ROOT = Path(__file__).parents[2]
PRELUDE = Path(__file__).parent / "cuda_prelude.h"
CLANG = next((found for n in (19, 20, 21, 18) if (found := shutil.which(f"clang++-{n}"))), None)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One text of each kernel, by its name."""
    texts: list[str] = []

    def keep(source: str, architecture: str) -> tuple[bytes, str]:
        assert architecture == "sm_90"
        texts.append(source)
        return b"", ""

    monkeypatch.setattr(cuda_gpu, "compile_cubin", keep)
    gpu = Gpu(None, "sm_90")
    with gpu.replace_metal():
        for run, arrays in operations().values():
            fence.record(mx.zeros((8,)))
            run(*arrays)
    return {launch.name: text for launch, text in zip(gpu.launches, texts, strict=True)}


def compile_text(text: str, folder: Path) -> str:
    """What clang says about it as CUDA; empty if nothing."""
    path = folder / "kernel.cu"
    path.write_text(PRELUDE.read_text() + text)
    assert CLANG
    options = ["-x", "cuda", "--cuda-device-only", "--cuda-gpu-arch=sm_90", "-std=c++20"]
    run = subprocess.run(
        [CLANG, *options, "-nocudainc", "-nocudalib", "-Wno-everything", "-fsyntax-only",
         str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stderr


LISTING = """
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_0:
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
        /*0030*/                   FFMA R8, R4, R5, R8 ;
.L_x_1:
        /*0040*/               @P1 BRA `(.L_x_0) ;
        /*0050*/                   EXIT ;
"""


def test_a_loop_is_what_lies_between_a_label_and_the_branch_back():
    (loop,) = find_loops(LISTING)
    assert loop.kinds == {"LDG": 1, "BRA": 2, "FFMA": 1}


@pytest.mark.skipif(CLANG is None, reason="no clang-18 or later to read CUDA with")
def test_a_compiler_accepts_every_kernel(sources, tmp_path):
    assert len(sources) > 30
    for name, text in sources.items():
        errors = compile_text(text, tmp_path)
        assert not errors, f"{name}\n{errors}"


@pytest.mark.skipif(CLANG is None, reason="no clang-18 or later to read CUDA with")
def test_lanes_that_do_not_fit_the_matrices_are_refused(sources, tmp_path):
    text = sources["quantized_matmul_small_Q4_K"].replace("(lane & 6) << 1", "(lane & 6) << 2")
    assert "static assertion failed" in compile_text(text, tmp_path)


def test_without_a_gpu_the_script_says_so_and_ends_well():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.shaders_cuda"], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not run on" in done.stdout
