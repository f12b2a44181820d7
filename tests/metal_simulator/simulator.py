"""Runs Metal kernels on the host, in place of `mx.fast.metal_kernel`.

A `Simulator` makes kernels with MLX's own call signature. A launch executes at once, on the memory
of the arrays themselves (so that writes in place are seen), and is recorded with its traffic.
"""

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import mlx.core as mx
import numpy as np

from tests.metal_simulator import build
from tests.metal_simulator.signature import ENTRY, Parameter, TemplateValue, kernel_source

Template = Sequence[tuple[str, TemplateValue]]
Scalar = bool | int | float
MAX_BUFFERS = 31
MAX_THREADS = 1024


class KernelFault(AssertionError):
    """A kernel did what no kernel may do; says what, where and by which thread."""


@dataclass(frozen=True)
class Traffic:
    """Bytes of one buffer in one launch.

    requested: what lanes asked for. fetched: what memory delivered, in 32-byte sectors that missed
    a cache, the loads of a threadgroup being replayed in lockstep. stored: what lanes wrote.
    """

    requested: int
    fetched: int
    stored: int


@dataclass(frozen=True)
class Launch:
    kernel: str
    parameters: tuple[Parameter, ...]
    template: Mapping[str, TemplateValue]
    grid: tuple[int, int, int]
    threadgroup: tuple[int, int, int]
    threadgroup_bytes: int
    traffic: Mapping[str, Traffic]

    @property
    def device_bytes(self) -> int:
        return sum(t.fetched + t.stored for t in self.traffic.values())


class _Position(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint32), ("y", ctypes.c_uint32), ("z", ctypes.c_uint32)]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("undefined", ctypes.c_void_p),
        ("written", ctypes.c_void_p),
        ("constant", ctypes.c_uint32),
        ("requested", ctypes.c_uint64),
        ("fetched", ctypes.c_uint64),
        ("stored", ctypes.c_uint64),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("kernel", ctypes.c_void_p),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("num_buffers", ctypes.c_uint32),
        ("grid", _Position),
        ("threadgroup", _Position),
        ("seed", ctypes.c_uint64),
        ("cache_bytes", ctypes.c_uint64),
        ("measured", ctypes.c_uint32),
        ("threadgroup_bytes", ctypes.c_uint32),
        ("message", ctypes.c_char_p),
        ("message_bytes", ctypes.c_uint64),
    ]


def memory(array: mx.array) -> np.ndarray:
    """The bytes of a row-contiguous array, shared with it."""
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
    mx.eval(array)
    view = np.asarray(memoryview(cast(Any, array)))
    assert view.flags.c_contiguous
    return view.reshape(-1).view(np.uint8)


class Simulator:
    """Makes and runs kernels; `seed` draws the schedule, 0 being the plain order of lanes.

    With `cache_bytes` set, traffic is measured against a last-level cache of that size. Take it
    smaller than the data that must be read once, else a second read would cost nothing.
    Unless it `executes`, launches are recorded and their outputs hold nothing.
    """

    def __init__(self, *, seed: int = 0, cache_bytes: int = 0, executes: bool = True) -> None:
        self.seed = seed
        self.cache_bytes = cache_bytes
        self.executes = executes
        self.launches: list[Launch] = []
        # Bytes that hold nothing yet, by address; the arrays are kept so that none is reused.
        self._undefined: dict[int, tuple[mx.array, np.ndarray]] = {}

    def metal_kernel(
        self,
        name: str,
        input_names: Sequence[str],
        output_names: Sequence[str],
        source: str,
        header: str = "",
        ensure_row_contiguous: bool = True,
        atomic_outputs: bool = False,
        compile_options: Mapping[str, str] | None = None,
    ) -> "SimulatedKernel":
        assert ensure_row_contiguous, "kernels index rows as contiguous"
        assert not atomic_outputs, "no atomics in the dialect"
        assert compile_options is None or set(compile_options) == {"math_mode"}
        return SimulatedKernel(self, name, tuple(input_names), tuple(output_names), header, source)

    def mark_undefined(self, array: mx.array, mask: np.ndarray) -> None:
        """Elements of `array` where `mask` holds must be written before they are read."""
        assert mask.shape == array.shape
        undefined = np.repeat(mask.reshape(-1), array.itemsize).astype(np.uint8)
        self._undefined[memory(array).ctypes.data] = (array, undefined)

    def undefined_of(self, data: np.ndarray) -> np.ndarray | None:
        found = self._undefined.get(data.ctypes.data)
        return found[1] if found and len(found[1]) >= len(data) else None

    def mark_written(self, data: np.ndarray, written: np.ndarray) -> None:
        undefined = self.undefined_of(data)
        if undefined is None:
            return
        undefined[: len(data)] &= 1 - written
        if not undefined.any():
            del self._undefined[data.ctypes.data]

    def num_undefined_bytes(self, array: mx.array) -> int:
        undefined = self.undefined_of(memory(array))
        return 0 if undefined is None else int(undefined.sum())


@dataclass(frozen=True)
class SimulatedKernel:
    simulator: Simulator
    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    header: str
    body: str

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array | Scalar],
        output_shapes: Sequence[Sequence[int]],
        output_dtypes: Sequence[mx.Dtype],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        template: Template = (),
        init_value: float | None = None,
        verbose: bool = False,
        stream: object = None,
    ) -> list[mx.array]:
        assert stream is None
        assert not verbose
        arrays = [mx.contiguous(x if isinstance(x, mx.array) else mx.array(x)) for x in inputs]
        assert len(arrays) == len(self.input_names)
        outputs = [
            mx.full(tuple(shape), init_value or 0, dtype=dtype)
            for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
        ]
        mx.eval(arrays, outputs)
        if init_value is None:
            for output in outputs:
                memory(output)[:] = 0xFF
                self.simulator.mark_undefined(output, np.ones(output.shape, bool))
        self._run(arrays, outputs, tuple(template), grid, threadgroup)
        return outputs

    def _run(
        self,
        inputs: Sequence[mx.array],
        outputs: Sequence[mx.array],
        template: tuple[tuple[str, TemplateValue], ...],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
    ) -> None:
        parameters = self._parameters(inputs, outputs)
        assert len(parameters) <= MAX_BUFFERS
        if not self.simulator.executes:
            launch = Launch(self.name, parameters, dict(template), grid, threadgroup, 0, {})
            self.simulator.launches.append(launch)
            return
        entry = _entry(self.header, self.body, parameters, template)
        arrays = [*inputs, *outputs]
        data = [memory(a) for a in arrays]
        written = [np.zeros(len(d), np.uint8) for d in data]
        buffers = (_Buffer * len(data))()
        for i, (p, d) in enumerate(zip(parameters, data, strict=True)):
            undefined = self.simulator.undefined_of(d)
            buffers[i].name = p.name.encode()
            buffers[i].data = d.ctypes.data
            buffers[i].bytes = len(d)
            buffers[i].undefined = undefined.ctypes.data if undefined is not None else None
            buffers[i].written = written[i].ctypes.data
            buffers[i].constant = p.is_constant
        threadgroup_bytes = self._launch(entry, buffers, template, grid, threadgroup)
        for d, w in zip(data, written, strict=True):
            self.simulator.mark_written(d, w)
        traffic = {
            p.name: Traffic(b.requested, b.fetched, b.stored)
            for p, b in zip(parameters, buffers, strict=True)
        }
        self.simulator.launches.append(
            Launch(
                self.name, parameters, dict(template), grid, threadgroup, threadgroup_bytes, traffic
            )
        )

    def _parameters(
        self, inputs: Sequence[mx.array], outputs: Sequence[mx.array]
    ) -> tuple[Parameter, ...]:
        given = [
            Parameter(name, a.dtype, a.size < 8, a.ndim == 0, False)
            for name, a in zip(self.input_names, inputs, strict=True)
        ]
        made = [
            Parameter(name, a.dtype, False, False, True)
            for name, a in zip(self.output_names, outputs, strict=True)
        ]
        return (*given, *made)

    def _launch(
        self,
        entry: int,
        buffers: ctypes.Array[_Buffer],
        template: Template,
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
    ) -> int:
        size = tuple(min(t, g) for t, g in zip(threadgroup, grid, strict=True))
        num_threads = math.prod(threadgroup)  # as MLX counts them: before they are cut to the grid
        if not 0 < num_threads <= MAX_THREADS:
            raise ValueError(f"Thread group size ({num_threads}) is greater than {MAX_THREADS}")
        message = ctypes.create_string_buffer(1024)
        launch = _Launch(
            kernel=entry,
            buffers=buffers,
            num_buffers=len(buffers),
            grid=_Position(*grid),
            threadgroup=_Position(*size),
            seed=self.simulator.seed,
            cache_bytes=self.simulator.cache_bytes,
            measured=self.simulator.cache_bytes > 0,
            message=ctypes.cast(message, ctypes.c_char_p),
            message_bytes=len(message),
        )
        if build.runtime().sim_launch(ctypes.byref(launch)):
            variant = ", ".join(f"{k}={v}" for k, v in template)
            raise KernelFault(f"{self.name}<{variant}>: {message.value.decode()}")
        return int(launch.threadgroup_bytes)


@cache
def _entry(
    header: str,
    body: str,
    parameters: tuple[Parameter, ...],
    template: tuple[tuple[str, TemplateValue], ...],
) -> int:
    return build.load_kernel(kernel_source(header, body, parameters, template), ENTRY)
