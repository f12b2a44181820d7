import os
import subprocess
import sys

import pytest

from metal_kernels import backend


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_backend_can_be_asked_for():
    code = "from metal_kernels.backend import describe; print(describe().slow_because)"
    done = run(code, LOCALLLM_BACKEND="reference")
    assert "asks for the reference" in done.stdout


def test_an_unknown_backend_is_refused_with_the_known_ones():
    done = run("from metal_kernels import backend; backend.backend()", LOCALLLM_BACKEND="gpu")
    assert "LOCALLLM_BACKEND=gpu is not available here; available:" in done.stderr


def test_the_number_of_threads_is_at_least_one():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        backend.set_num_threads(0)


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.skipif(backend.backend() != "cpu", reason="needs the CPU kernels")
def test_threads_and_instruction_sets_can_be_chosen():
    backend.set_num_threads(3)
    assert backend.describe().num_threads == 3
    code = "from metal_kernels.backend import describe; print(describe().isa)"
    assert run(code, LOCALLLM_CPU_ISA="scalar").stdout.strip() == "scalar"
