"""The C++ kernels under the address, undefined behaviour and thread sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "metal_kernels" / "cpu"
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma", "-mf16c"]
AMX = [*AVX512, "-mamx-tile", "-mamx-int8", "-mamx-bf16"]
PER_ISA = ("attention.cpp", "attention_int8.cpp", "pointwise.cpp", "quantize.cpp")
AVX512_ONLY = ("activations_avx512.cpp", "dense_avx512.cpp", "matmul_avx512.cpp")
PLAIN = (
    "dispatch.cpp",
    "formats.cpp",
    "grouped_rows.cpp",
    "joint_products.cpp",
    "pack.cpp",
    "quantize_blocks.cpp",
    "thread_pool.cpp",
)
UNITS = [
    *((name, []) for name in PLAIN),
    *((name, []) for name in (*PER_ISA, "matmul_scalar.cpp")),
    *((name, AVX2) for name in (*PER_ISA, "matmul_avx2.cpp")),
    *((name, AVX512) for name in (*PER_ISA, *AVX512_ONLY)),
    *((name, AMX) for name in ("dense_amx.cpp", "matmul_amx.cpp")),
]


def build(sanitizer, folder):
    common = ["g++", "-std=gnu++20", "-O1", "-g", "-w", f"-fsanitize={sanitizer}"]
    common += ["-ffp-contract=off", "-fno-sanitize-recover=all", f"-I{SOURCES}"]
    objects = []
    for i, (name, flags) in enumerate(UNITS):
        objects.append(folder / f"{i}.o")
        subprocess.run(
            [*common, *flags, "-c", SOURCES / name, "-o", objects[-1]], check=True, timeout=600
        )
    program = folder / "sanitized"
    subprocess.run(
        [*common, HERE / "sanitized.cpp", *objects, "-o", program, "-lpthread"],
        check=True,
        timeout=600,
    )
    return program


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_all_kernels_run_clean(sanitizer, tmp_path):
    done = subprocess.run(
        [build(sanitizer, tmp_path)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scalar\n")
