"""The text MLX hands to Metal's compiler: its signatures, its limits, its address spaces."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from metal_kernels.metal.kernel import MAX_THREADS
from tests.metal_shaders.tracing import GeneratedSource
from tests.metal_shaders.variants import SNAPSHOT, operations, snapshot, traced
from tests.metal_simulator.signature import TYPE_NAMES

PRELUDE = Path(__file__).parent / "opencl_prelude.h"
CLANG = next((found for n in (19, 20, 21, 18) if (found := shutil.which(f"clang-{n}"))), None)
BUFFER = re.compile(r"(?:const )?(device|constant) (\w+)[*&] (\w+) \[\[buffer\((\d+)\)\]\]")


@pytest.fixture(scope="module")
def sources() -> dict[str, list[GeneratedSource]]:
    return traced()


def test_signatures_are_those_of_the_snapshot(sources):
    update = "rewrite it with: python -m tests.metal_shaders.variants"
    assert snapshot(sources) == SNAPSHOT.read_text(), update


def test_buffers_and_text_keep_to_the_limits(sources):
    for generated in sources.values():
        assert generated
        for source in generated:
            assert len(BUFFER.findall(source.signature)) <= 31
            # MLX hashes the whole text at every launch.
            assert len(source.text) < 16_000


def test_the_simulator_binds_buffers_as_mlx_does(simulate, sources):
    simulator = simulate(executes=False)
    for name, (run, arrays) in operations().items():
        simulator.launches.clear()
        run(*arrays)
        assert len(simulator.launches) == len(sources[name])
        assert all(math.prod(launch.threadgroup) <= MAX_THREADS for launch in simulator.launches)
        for launch, source in zip(simulator.launches, sources[name], strict=True):
            ours = [
                ("constant" if p.is_constant else "device", TYPE_NAMES[p.dtype], p.name, str(i))
                for i, p in enumerate(launch.parameters)
            ]
            assert ours == BUFFER.findall(source.signature)
            assert f"custom_kernel_{launch.kernel}_" in source.signature


def opencl(source: GeneratedSource) -> str:
    """The same kernel as OpenCL C++, its template parameters replaced by their values."""
    head, body = source.text.split(source.signature)
    body = body.split(source.instance)[0]
    template, function = source.signature.split("\n", 1)
    names = re.findall(r"(typename|int|bool) (\w+)", template)
    values = re.findall(r"<([^<>]*)>\) ", source.instance)[0].split(", ")
    fixed = [
        f"typedef {value} {name};" if kind == "typename" else f"constexpr {kind} {name} = {value};"
        for (kind, name), value in zip(names, values, strict=True)
    ]
    attributes = re.findall(r"(uint3?) (\w+) \[\[\2\]\]", function)
    function = re.sub(r",\n  uint3? \w+ \[\[\w+\]\]", "", function)
    function = re.sub(r" ?\[\[[^\]]*\]\](?:\])? ?", "", function)
    launch = [f"const {kind} {name} = {kind}(0);" for kind, name in attributes]
    return "\n".join([PRELUDE.read_text(), head, *fixed, f"kernel {function}", *launch, body])


@pytest.mark.skipif(CLANG is None, reason="no clang-18 or later to check address spaces with")
def test_clang_accepts_the_address_spaces(sources, tmp_path):
    distinct = {source.text: source for generated in sources.values() for source in generated}
    assert len(distinct) > 50
    for source in distinct.values():
        errors = lint(opencl(source), tmp_path)
        assert not errors, f"{source.signature}\n{errors}"


@pytest.mark.skipif(CLANG is None, reason="no clang-18 or later to check address spaces with")
def test_clang_refuses_a_wrong_address_space(sources, tmp_path):
    source = sources["Q4_K, 1 rows"][0]
    wrong = opencl(source).replace("(const device uint4*)", "(const threadgroup uint4*)")
    assert "address space" in lint(wrong, tmp_path)


def lint(text: str, folder: Path) -> str:
    """What clang says about an OpenCL C++ text; empty if nothing."""
    path = folder / "kernel.clcpp"
    path.write_text(text)
    assert CLANG
    options = ["-x", "clcpp", "-cl-std=clc++2021", "-Xclang", "-finclude-default-header"]
    warnings = ["-Werror", "-Wno-unused-value", "-Wno-undefined-internal"]
    run = subprocess.run(
        [CLANG, *options, *warnings, "-target", "spir64", "-fsyntax-only", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stderr
