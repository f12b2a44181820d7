"""Shader files as MLX kernels: read once, compiled by MLX at the first launch of each variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

SHADERS = Path(__file__).parent.parent / "shaders"

MAX_THREADS = 256
"""Of a threadgroup: what every Apple GPU takes of a kernel, however many registers it fills."""

Grid = tuple[int, int, int]
Template = Sequence[tuple[str, bool | int | mx.Dtype]]


@dataclass(frozen=True)
class Kernel:
    """One shader: its body, the headers before it, and the names it uses for its buffers.

    Grid and threadgroup are in threads. Every variant of `template` is compiled for itself.
    """

    name: str
    body: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    headers: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    """Lines after the headers: which types and numbers the body's names stand for."""

    def __call__(
        self,
        inputs: Sequence[mx.array],
        *,
        template: Template,
        grid: Grid,
        threadgroup: Grid,
        outputs: Sequence[tuple[tuple[int, ...], mx.Dtype]],
    ) -> list[mx.array]:
        """The outputs, of the given shapes and types; lazy, like any MLX operation."""
        arrays: list[mx.array] = compile_kernel(self)(
            inputs=list(inputs),
            template=list(template),
            grid=grid,
            threadgroup=threadgroup,
            output_shapes=[shape for shape, _ in outputs],
            output_dtypes=[dtype for _, dtype in outputs],
        )
        return arrays

    @property
    def source(self) -> str:
        """The body: what stands inside the kernel function."""
        return read_shader(self.body)

    @property
    def header(self) -> str:
        """What stands before the kernel function."""
        texts = [read_shader(name) for name in self.headers]
        return "\n".join([*texts, *self.definitions]) + "\n"


@cache
def read_shader(name: str) -> str:
    """The text of a file under shaders/."""
    return (SHADERS / f"{name}.metal").read_text()


@cache
def compile_kernel(kernel: Kernel) -> Callable[..., Any]:
    """MLX's callable for a kernel; MLX itself compiles later, once per variant."""
    return cast(
        Callable[..., Any],
        mx.fast.metal_kernel(
            name=kernel.name,
            input_names=kernel.inputs,
            output_names=kernel.outputs,
            source=kernel.source,
            header=kernel.header,
        ),
    )


@cache
def parameters(*values: int | float) -> mx.array:
    """Numbers that change from call to call, for a `constant` buffer: at most seven of them.

    MLX binds arrays of fewer than eight elements as `constant`, larger ones as `device`.
    """
    assert 0 < len(values) < 8
    dtype = mx.float32 if any(isinstance(v, float) for v in values) else mx.int32
    return mx.array(values, dtype=dtype)
