"""Runs Metal kernels on an NVIDIA GPU, in place of `mx.fast.metal_kernel`.

Arrays stay MLX's, in the host's memory; a launch copies them to the GPU and what it wrote back. It
is kept with its arrays there, so that it can be repeated and timed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np

from metal_kernels.metal import kernel
from scripts.shaders_cuda.compiler import compile_cubin, resources
from scripts.shaders_cuda.disassembly import describe_loops
from scripts.shaders_cuda.source import ENTRY, kernel_source
from tests.metal_simulator.signature import Parameter, TemplateValue
from tests.metal_simulator.simulator import memory

Grid = tuple[int, int, int]
Template = Sequence[tuple[str, TemplateValue]]


@dataclass(frozen=True)
class Launch:
    """One launch, ready to be repeated on the arrays it had."""

    name: str
    template: Mapping[str, TemplateValue]
    resources: str
    repeat: Callable[[], None]


@dataclass
class Gpu:
    """A card, or none: without CuPy (`cupy` is None) kernels are compiled and nothing runs."""

    cupy: Any
    architecture: str
    launches: list[Launch] = field(default_factory=list)
    functions: dict[bytes, Any] = field(default_factory=dict)

    @contextmanager
    def replace_metal(self) -> Iterator[None]:
        """The launch modules of `metal_kernels.metal` run here meanwhile."""
        before = kernel.compile_kernel
        kernel.compile_kernel = lambda k: CudaKernel(self, k)  # type: ignore[assignment]
        try:
            yield
        finally:
            kernel.compile_kernel = before

    def load(self, code: bytes) -> Any:
        """The entry point of a compiled text."""
        if code not in self.functions:
            module = self.cupy.cuda.function.Module()
            module.load(code)
            self.functions[code] = module.get_function(ENTRY)
        return self.functions[code]


@dataclass(frozen=True)
class CudaKernel:
    """Called as MLX calls a kernel."""

    gpu: Gpu
    kernel: kernel.Kernel

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[mx.Dtype],
        grid: Grid,
        threadgroup: Grid,
        template: Template,
    ) -> list[mx.array]:
        arrays = [mx.contiguous(x) for x in inputs]
        outputs = [
            mx.zeros(tuple(shape), dtype=dtype)
            for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
        ]
        mx.eval(arrays, outputs)
        width, height, depth = (min(t, g) for t, g in zip(threadgroup, grid, strict=True))
        source = kernel_source(
            self.kernel.header,
            self.kernel.source,
            self._parameters(arrays, outputs),
            template,
            width * height * depth,
        )
        code, log = compile_cubin(source, self.gpu.architecture)
        block = (width, height, depth)
        used, repeat = resources(log), _nothing
        if self.gpu.cupy:
            repeat = self._launch(code, arrays, outputs, grid, block)
        else:
            used += describe_loops(code)
        launch = Launch(self.kernel.name, dict(template), used, repeat)
        self.gpu.launches.append(launch)
        return outputs

    def _launch(
        self,
        code: bytes,
        inputs: Sequence[mx.array],
        outputs: Sequence[mx.array],
        grid: Grid,
        block: Grid,
    ) -> Callable[[], None]:
        """Runs once, fills `outputs` and the inputs written in place; returns what runs again."""
        cupy, function = self.gpu.cupy, self.gpu.load(code)
        for output in outputs:
            memory(output)[:] = 0xFF
        arrays = [*inputs, *outputs]
        held = [cupy.asarray(memory(array)) for array in arrays]
        arguments = [
            copy if array.ndim else np.array(array)[()]
            for array, copy in zip(arrays, held, strict=True)
        ]
        arguments += [np.uint32(threads) for threads in grid]
        groups = tuple(-(-threads // size) for threads, size in zip(grid, block, strict=True))

        def repeat() -> None:
            function(groups, block, tuple(arguments))

        repeat()
        written = arrays if "const_cast" in self.kernel.source else outputs
        for array, copy in zip(arrays, held, strict=True):
            if any(array is one for one in written):
                memory(array)[:] = cupy.asnumpy(copy)
        return repeat

    def _parameters(
        self, inputs: Sequence[mx.array], outputs: Sequence[mx.array]
    ) -> list[Parameter]:
        given = [
            Parameter(name, a.dtype, a.size < 8, a.ndim == 0, False)
            for name, a in zip(self.kernel.inputs, inputs, strict=True)
        ]
        made = [
            Parameter(name, a.dtype, False, False, True)
            for name, a in zip(self.kernel.outputs, outputs, strict=True)
        ]
        return [*given, *made]


def _nothing() -> None:
    """Without a card nothing runs."""
