"""Runs the launch modules of `metal_kernels.metal` on the simulator."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from metal_kernels import (
    joint_matmul,
    kv_cache,
    paged_attention,
    quantized,
    rms_norm,
    rope,
    swiglu,
)
from metal_kernels.metal import kernel, trust
from tests.metal_simulator.simulator import Simulator


@pytest.fixture(autouse=True)
def trust_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_broken", {})


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Simulator]:
    """Make a simulator and let every kernel run on it; `edit` rewrites shader texts first."""

    if sys.platform != "linux":
        pytest.skip("the simulator has been ported to Linux only")

    def install(*, edit: Callable[[str], str] = lambda text: text, **options: Any) -> Simulator:
        simulator = Simulator(**options)

        def compile_kernel(k: kernel.Kernel) -> Callable[..., object]:
            return simulator.metal_kernel(
                k.name, k.inputs, k.outputs, edit(k.source), edit(k.header)
            )

        monkeypatch.setattr(kernel, "compile_kernel", compile_kernel)
        return simulator

    return install


@pytest.fixture
def metal_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every op of `metal_kernels` takes its Metal path."""
    for module in (joint_matmul, kv_cache, paged_attention, quantized, rms_norm, rope, swiglu):
        monkeypatch.setattr(module, "backend", lambda: "metal")


@pytest.fixture
def on_metal(metal_backend: None, simulate: Callable[..., Simulator]) -> Simulator:
    """The same, on a simulator."""
    del metal_backend
    return simulate()
