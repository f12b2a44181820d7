"""What stands in for the simulator on a Mac, tried where there is none."""

import pytest

from metal_kernels.metal.kv_write import write_kernel
from tests.metal_shaders.device import Device


def test_launches_are_passed_on_and_noted():
    passed = []
    device = Device()
    launch = device.compile_kernel(
        lambda _kernel: lambda **options: passed.append(options), write_kernel()
    )
    options = {"inputs": [], "grid": (4, 2, 1), "threadgroup": (4, 1, 1)}
    launch(template=[("D", 64)], **options)
    assert passed == [{"template": [("D", 64)], **options}]
    (noted,) = device.launches
    assert (noted.kernel, noted.template["D"], noted.grid) == ("kv_write", 64, (4, 2, 1))
    with pytest.raises(pytest.skip.Exception):
        _ = noted.traffic
