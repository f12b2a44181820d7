"""Runs the launch modules of `metal_kernels.metal`: on the simulator, and on a Mac on its GPU."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import pytest

from engine.network import precision
from metal_kernels import (
    experts,
    grouped,
    joint_matmul,
    kv_cache,
    paged_attention,
    quantized,
    rms_norm,
    rope,
    swiglu,
)
from metal_kernels.metal import kernel, trust
from tests.metal_shaders.device import Device
from tests.metal_simulator import ahead
from tests.metal_simulator.simulator import Simulator

OPS = (
    experts, grouped, joint_matmul, kv_cache, paged_attention, quantized, rms_norm, rope, swiglu
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are simulated on Linux only, and only the first process starts a second."""
    if sys.platform == "linux" and not ahead.is_beside(config):
        config.pluginmanager.register(ahead.Ahead())


@pytest.hookimpl(tryfirst=True)  # before those of other kinds are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a Mac, what launches kernels needs its GPU and belongs to `make test-metal`."""
    if not mx.metal.is_available():
        return
    for item in items:
        if "simulate" in getattr(item, "fixturenames", ()):
            item.add_marker("metal")


@pytest.fixture(autouse=True)
def trust_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_broken", {})


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a simulator and let every kernel run on it; `edit` rewrites shader texts first.

    On a Mac the same call leaves kernels to the GPU and only notes them, whatever the schedule
    asked for; tests that change texts or count bytes are skipped there.
    """
    compile_kernel = kernel.compile_kernel

    def install(*, edit: Callable[[str], str] = lambda text: text, **options: Any) -> Simulator:
        simulator = Simulator(**options)

        def compile_simulated(k: kernel.Kernel) -> Callable[..., object]:
            return simulator.metal_kernel(
                k.name, k.inputs, k.outputs, edit(k.source), edit(k.header)
            )

        monkeypatch.setattr(kernel, "compile_kernel", compile_simulated)
        return simulator

    def use_device(**options: Any) -> Device:
        if set(options) - {"seed"}:
            pytest.skip(f"{', '.join(options)}: only a simulator can")
        device = Device()
        noted = partial(device.compile_kernel, compile_kernel)
        monkeypatch.setattr(kernel, "compile_kernel", noted)
        return device

    if mx.metal.is_available():
        return use_device
    if sys.platform != "linux":
        pytest.skip("the simulator has been ported to Linux only")
    return install


@pytest.fixture
def metal_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every op of `metal_kernels` takes its Metal path."""
    for module in OPS:
        monkeypatch.setattr(module, "backend", lambda: "metal")


@pytest.fixture
def other_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until `metal_backend`, no op does: the CPU twins run, or on a Mac the definitions."""
    if mx.metal.is_available():
        for module in (*OPS, precision):
            monkeypatch.setattr(module, "backend", lambda: "reference")


@pytest.fixture
def on_metal(metal_backend: None, simulate: Callable[..., Any]) -> Any:
    """The Metal path, on a simulator or the GPU."""
    del metal_backend
    return simulate()
