"""An Apple GPU in the simulator's place: the same tests, except for what only a simulator sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels.metal import kernel
from tests.metal_simulator.simulator import Traffic


@dataclass(frozen=True)
class DeviceLaunch:
    """What was launched. Asking for its traffic ends the test as skipped: nobody counted it."""

    kernel: str
    template: Mapping[str, Any]
    grid: tuple[int, int, int]
    threadgroup: tuple[int, int, int]

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        pytest.skip("bytes are counted by the simulator")

    @property
    def device_bytes(self) -> int:
        pytest.skip("bytes are counted by the simulator")


@dataclass
class Device:
    """Runs kernels as the product does, and notes their launches."""

    launches: list[DeviceLaunch] = field(default_factory=list)

    def mark_undefined(self, array: mx.array, mask: np.ndarray) -> None:
        """A GPU does not know what nobody wrote."""

    def compile_kernel(
        self, compile_kernel: Callable[[kernel.Kernel], Callable[..., Any]], k: kernel.Kernel
    ) -> Callable[..., Any]:
        run = compile_kernel(k)

        def launch(*, template: Sequence[tuple[str, Any]], **options: Any) -> Any:
            noted = DeviceLaunch(k.name, dict(template), options["grid"], options["threadgroup"])
            self.launches.append(noted)
            return run(template=template, **options)

        return launch
