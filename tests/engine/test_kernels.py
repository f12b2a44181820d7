"""What the engine asks of Metal's kernels, and what it says about those that fail."""

import json
from pathlib import Path

import mlx.core as mx
import pytest

from engine import kernels
from engine.kernels import StoredMatrix, attention_sizes, launched_products
from metal_kernels import backend
from metal_kernels.metal import check_cases, self_check, trust, tuner, tuning
from models.errors import InvalidInput, Unsupported

CONFIG = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 256}


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "backend", lambda: "metal")
    monkeypatch.setattr(trust, "_broken", {})
    monkeypatch.setattr(tuning, "_measured", {})


def test_siblings_are_multiplied_in_one_launch_and_alone_when_that_fails() -> None:
    layer = "model.layers.0"
    matrices = {
        f"{layer}.self_attn.q_proj": StoredMatrix("Q4_K", 4096),
        f"{layer}.self_attn.k_proj": StoredMatrix("Q4_K", 1024),
        f"{layer}.self_attn.v_proj": StoredMatrix("Q6_K", 1024),
        f"{layer}.mlp.up_proj": StoredMatrix("Q4_K", 8192),
    }
    assert launched_products(matrices) == {
        check_cases.Product(("Q4_K", "Q4_K", "Q6_K"), 6144),
        check_cases.Product(("Q4_K",), 4096),
        check_cases.Product(("Q4_K",), 1024),
        check_cases.Product(("Q6_K",), 1024),
        check_cases.Product(("Q4_K",), 8192),
    }


def write_failure(path: Path, *, fingerprint: str) -> None:
    failed = self_check.CheckResult("kv_write", "1 tokens", "relative error 2", 0.1)
    passed = self_check.CheckResult("gather_kv", "20 rows", "", 0.1)
    path.write_text(json.dumps({f"{fingerprint} needs": [passed, failed]}))


@pytest.mark.usefixtures("on_a_mac")
def test_failed_checks_of_this_machine_are_named(tmp_path):
    path = tmp_path / "kernels.json"
    assert kernels.failed_kernel_checks(path) == []
    write_failure(path, fingerprint="another")
    assert kernels.failed_kernel_checks(path) == []
    write_failure(path, fingerprint=self_check.fingerprint())
    assert kernels.failed_kernel_checks(path) == ["kv_write (1 tokens): relative error 2"]


@pytest.mark.usefixtures("on_a_mac")
def test_a_failed_check_is_logged_and_remembered_by_the_process(tmp_path, monkeypatch, caplog):
    def fail(_needs, _path):
        results = [self_check.CheckResult("kv_write", "1 tokens", "relative error 2", 0.1)]
        self_check.apply_results(results)
        return results

    monkeypatch.setattr(self_check, "ensure_checked", fail)
    caplog.set_level("INFO")
    kernels.check_metal_kernels(CONFIG, {}, tmp_path / "kernels.json")
    assert "compiled and checked, once on this machine" in caplog.text
    assert "kv_write (1 tokens) is not used: relative error 2" in caplog.text
    assert kernels.replaced_kernels() == ["kv_write: 1 tokens: relative error 2"]


@pytest.mark.usefixtures("on_a_mac")
def test_what_was_measured_holds_for_the_models_loaded_next(tmp_path, monkeypatch):
    path = tmp_path / "kernels.json"
    reported = []

    def tune(_workload, _timer, report):
        report(tuner.Measurement({"small_simdgroups": 8}, 0.25))
        return {"small_simdgroups": 8}

    monkeypatch.setattr(tuner, "tune", tune)
    monkeypatch.setattr(self_check, "ensure_checked", lambda *_: [])
    assert kernels.tune_metal_kernels(path, lambda *found: reported.append(found)) == {
        "small_simdgroups": 8
    }
    assert reported == [({"small_simdgroups": 8}, 0.25)]
    assert tuning.current().small_simdgroups == 4
    kernels.check_metal_kernels(CONFIG, {}, path)
    assert tuning.current().small_simdgroups == 8


@pytest.mark.usefixtures("on_a_mac")
def test_a_variable_that_hides_measurements_or_is_wrong_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(tuning.VARIABLE, "small_simdgroups=3")
    with pytest.raises(InvalidInput, match="overrides what would be measured"):
        kernels.tune_metal_kernels(tmp_path / "kernels.json", print)
    with pytest.raises(InvalidInput, match="may be 1, 2, 4, 8"):
        kernels.check_metal_kernels(CONFIG, {}, tmp_path / "kernels.json")


@pytest.mark.skipif(mx.metal.is_available(), reason="there is something to tune here")
def test_without_an_apple_gpu_there_is_nothing_to_tune(tmp_path):
    with pytest.raises(Unsupported, match="nothing to tune"):
        kernels.tune_metal_kernels(tmp_path / "kernels.json", print)


def test_experts_are_no_products_of_one_launch() -> None:
    layer = "model.layers.0.mlp.switch_mlp"
    matrices = {
        f"{layer}.gate_proj": StoredMatrix("Q4_K", 64, is_stack=True),
        f"{layer}.up_proj": StoredMatrix("Q4_K", 64, is_stack=True),
        "lm_head": StoredMatrix("Q6_K", 100),
    }
    assert launched_products(matrices) == {check_cases.Product(("Q6_K",), 100)}


def test_latent_attention_keeps_one_head() -> None:
    latent = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
    config = {"num_attention_heads": 16, "v_head_dim": 128, **latent}
    assert attention_sizes({**config, "model_type": "deepseek_v3"}) == (576, 512, 1)
    assert attention_sizes({**config, "model_type": "deepseek_v2"}) == (192, 128, 16)
    split = {**config, "model_type": "deepseek_v2", "latent_cache": True}
    assert attention_sizes(split) == (576, 512, 1)
