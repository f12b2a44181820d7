"""The exact text MLX would hand to Metal's compiler, obtained on any machine.

Without Metal a kernel cannot run, but while a function is being exported MLX traces it, and a
kernel launched with `verbose` prints the source it generates.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from metal_kernels.metal import fence, kernel

_GENERATED = re.compile(r"Generated source code for `(.*?)`:\n```\n(.*?)\n```", re.S)
_SIGNATURE = re.compile(r"^(?:template <[^\n]*>\n)?\[\[kernel\]\] void .*?\) \{$", re.S | re.M)
_INSTANCE = re.compile(r"^template \[\[host_name.*;$", re.M)


@dataclass(frozen=True)
class GeneratedSource:
    """One kernel variant as MLX writes it."""

    name: str
    text: str

    @property
    def signature(self) -> str:
        found = _SIGNATURE.search(self.text)
        assert found
        return found[0]

    @property
    def instance(self) -> str:
        """The line that instantiates the template for this variant."""
        found = _INSTANCE.search(self.text)
        return found[0] if found else ""


def trace(function: Callable[..., Any], *arrays: mx.array) -> list[GeneratedSource]:
    """Sources of the kernels that `function(*arrays)` launches, in order. Nothing runs."""

    def compile_verbose(k: kernel.Kernel) -> Callable[..., Any]:
        made = compile_kernel(k)
        return lambda **launch: made(**launch, verbose=True)

    compile_kernel = kernel.compile_kernel
    kernel.compile_kernel = compile_verbose  # type: ignore[assignment]
    try:
        with tempfile.TemporaryDirectory() as scratch, _captured_stdout() as printed:
            mx.export_function(f"{scratch}/traced.mlxfn", function, *arrays)
    finally:
        kernel.compile_kernel = compile_kernel
        fence.record(mx.zeros((8,)))  # the newest one belongs to the trace
    return [GeneratedSource(name, text) for name, text in _GENERATED.findall(printed[0])]


class Edge(NamedTuple):
    """An array between operations."""

    name: str
    shape: tuple[int, ...]


class Primitive(NamedTuple):
    """One operation of MLX's graph."""

    name: str
    inputs: list[Edge]
    outputs: list[Edge]


def graph(function: Callable[..., Any], *arrays: mx.array) -> list[Primitive]:
    """What MLX would run for `function(*arrays)`, in order. Nothing runs."""
    found: list[Primitive] = []

    def collect(entry: dict[str, Any]) -> None:
        if entry["type"] == "primitive":
            ends = (
                [Edge(name, tuple(shape)) for name, shape, _ in entry[side]]
                for side in ("inputs", "outputs")
            )
            found.append(Primitive(entry["name"], *ends))

    try:
        mx.export_function(collect, function, *arrays)
    finally:
        fence.record(mx.zeros((8,)))
    return found


@contextmanager
def _captured_stdout() -> Iterator[list[str]]:
    """What C++ prints to the process's standard output."""
    printed: list[str] = []
    with tempfile.NamedTemporaryFile() as file:
        before = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield printed
        finally:
            os.dup2(before, 1)
            os.close(before)
            printed.append(Path(file.name).read_text())
