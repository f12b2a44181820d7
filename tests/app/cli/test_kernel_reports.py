"""What people are told about Metal kernels: by `doctor`, `doctor --tune` and `ps`."""

import pytest
from click.testing import CliRunner

from app.cli import checks
from app.cli.daemon import ps_command
from app.client import DaemonClient
from app.settings import Settings
from engine import kernels
from metal_kernels.backend import BackendDescription

FAILED = "kv_write (1 tokens): relative error 2"


def test_doctor_names_the_kernels_that_failed_their_check(monkeypatch):
    here = BackendDescription("metal", "", 1, "", "")
    monkeypatch.setattr(kernels, "describe_kernels", lambda: here)
    monkeypatch.setattr(kernels, "failed_kernel_checks", lambda _path: [FAILED])
    found = checks.check_kernels(Settings())
    assert found.state == "slow"
    assert found.found.endswith(f", but for {FAILED}")
    assert "checked again" in found.fix


def test_ps_names_the_kernels_a_model_does_without(monkeypatch):
    loaded = {
        "name": "pocket:latest", "digest": "0" * 64, "size": 1000, "context_length": 512,
        "expires_at": "2999-01-01T00:00:00Z", "replaced_kernels": [FAILED],
            "kv_type": "q8_0", "kv_bytes_per_token": 17408,
    }  # fmt: skip
    monkeypatch.setattr(DaemonClient, "ps", lambda _self: [loaded])
    done = CliRunner().invoke(ps_command)
    assert done.stderr == f"pocket:latest: runs without the kernel {FAILED}\n"
    assert "pocket:latest" in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_tuning_shows_what_it_measures_and_where_it_went(run_tune, options):
    done = run_tune(*options)
    assert done.stderr == "   250.00 ms  small_simdgroups=8\n"
    if options:
        assert done.stdout == '{\n  "small_simdgroups": 8\n}\n'
    else:
        assert done.stdout.startswith("fastest: small_simdgroups=8\nwritten to ")


@pytest.fixture
def run_tune(monkeypatch):
    from app.cli.doctor import doctor_command

    def tune(_path, report):
        report({"small_simdgroups": 8}, 0.25)
        return {"small_simdgroups": 8}

    monkeypatch.setattr(kernels, "tune_metal_kernels", tune)
    return lambda *options: CliRunner().invoke(doctor_command, ["--tune", *options])


def test_tuning_without_an_apple_gpu_is_refused(run):
    done = run("doctor", "--tune", env={"LOCALLLM_BACKEND": "reference"})
    assert done.returncode != 0
    assert "error: there is nothing to tune" in done.stderr
    assert "hint: Metal kernels run on Apple GPUs" in done.stderr
