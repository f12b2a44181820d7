"""The check that runs on the user's machine, run here against the simulator."""

import json
import os

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels.metal import check_journal, quantized_matmul, self_check, trust, tuning
from metal_kernels.metal.block_formats import random_blocks
from metal_kernels.metal.check_cases import Needs, Product
from tests.metal_simulator import simulator as simulator_module

PRODUCTS = frozenset(
    {Product(("Q4_K",), 64), Product(("F16",), 64), Product(("Q4_K", "Q8_0"), 5000)}
)
NEEDS = Needs(PRODUCTS, mx.float16, mx.float16, 4, 1, 64, 64, 16)


def failures(results):
    return {(r.kernel, r.variant): r.reason for r in results if r.reason}


def test_every_variant_agrees_with_its_definition(simulate):
    simulator = simulate()
    results = self_check.check_kernels(NEEDS)
    assert not failures(results)
    assert not trust.broken()
    launched = {launch.kernel for launch in simulator.launches}
    assert launched == {r.kernel for r in results} | {"paged_attention_merge"}


def test_matrices_picked_by_id_are_checked_where_there_are_any(simulate):
    simulate(edit=lambda text: text.replace("ulong(ids[r])", "ulong(0)"))
    needs = Needs(frozenset(), *NEEDS[1:-1], stacks=frozenset({"Q8_0"}))
    assert {r.kernel for r in self_check.check_kernels(needs) if r.reason} == {
        "grouped_matvec_Q8_0"
    }


def test_kernels_of_an_int8_pool_are_checked_where_it_is_one(simulate):
    simulator = simulate()
    needs = NEEDS._replace(products=frozenset(), pool_dtype=mx.uint8)
    results = self_check.check_kernels(needs)
    assert not failures(results)
    launched = {launch.kernel for launch in simulator.launches}
    assert launched == {r.kernel for r in results} | {"paged_attention_merge"}
    assert all(name.endswith("_int8") for name in launched - {"paged_attention_merge"})
    simulate(edit=lambda text: text.replace("values[i + j] * inverse", "values[i] * inverse"))
    failed = {r.kernel for r in self_check.check_kernels(needs) if r.reason}
    assert failed == {"kv_write_int8"}


def test_a_wrong_kernel_is_marked_and_replaced(simulate):
    simulator = simulate(edit=lambda text: text.replace("s += 32", "s += 31"))
    results = self_check.check_kernels(NEEDS)
    failed = {"quantized_matvec_Q4_K", "quantized_matvec_Q4_K_Q8_0"}
    assert {r.kernel for r in results if r.reason} == failed
    assert trust.broken()["quantized_matvec_Q4_K"].startswith("1 rows: relative error")
    simulator.launches.clear()
    blocks = mx.array(random_blocks("Q4_K", 5, 512, np.random.default_rng(0)))
    quantized_matmul.matmul(mx.ones((1, 512)), blocks, "Q4_K")
    assert [launch.kernel for launch in simulator.launches] == ["quantized_matmul_small_Q4_K"]


def test_a_kernel_that_does_not_compile_is_marked_with_the_compilers_words(simulate):
    simulate(edit=lambda text: text.replace("num_tokens = sizes[1]", "num_tokens = "))
    results = self_check.check_kernels(NEEDS)
    assert {r.kernel for r in results if r.reason} == {"gather_kv"}
    assert "error" in trust.broken()["gather_kv"]


def test_attention_that_fails_goes_through_dense_attention(simulate):
    simulator = simulate()
    trust.mark_broken("paged_attention", "1 rows: planted")
    results = self_check.check_kernels(NEEDS)
    assert not failures(results)
    assert "paged_attention" not in {launch.kernel for launch in simulator.launches}


def test_results_of_an_earlier_run_are_applied():
    assert quantized_matmul.supports("Q6_K")
    failed = self_check.CheckResult("dequantize_rows_Q6_K", "1 rows", "relative error 1", 0.1)
    self_check.apply_results([failed])
    assert not quantized_matmul.supports("Q6_K")
    trust.mark_broken("quantized_matvec_Q4_K", "planted")
    assert quantized_matmul.supports("Q4_K")
    trust.mark_broken("quantized_matmul_small_Q4_K", "planted")
    assert not quantized_matmul.supports("Q4_K")
    assert not quantized_matmul.supports("IQ1_S")


def test_results_are_kept_until_the_machine_or_the_shaders_change(simulate, monkeypatch, tmp_path):
    needs = NEEDS._replace(products=frozenset())
    path = tmp_path / "state" / "kernels.json"
    simulator = simulate(edit=lambda text: text.replace("P(float(", "P(2.0f * float("))
    assert not self_check.is_checked(needs, path)
    first = self_check.ensure_checked(needs, path)
    assert self_check.is_checked(needs, path)
    assert {r.kernel for r in first if r.reason} == {"kv_write", "rope_kv_write"}
    num_launches = len(simulator.launches)
    monkeypatch.setattr(trust, "_broken", {})
    assert self_check.ensure_checked(needs, path) == first
    assert len(simulator.launches) == num_launches
    assert not trust.works("kv_write")
    assert {r.kernel for r in self_check.failures(path)} == {"kv_write", "rope_kv_write"}


NO_CHECKS = Needs(frozenset(), mx.float16, mx.float16, 4, 1, 288, 288, 16)
"""Few: the heads are too wide for a kernel of attention."""


@pytest.mark.parametrize(
    "damaged", [b"{", b"\xff\xfe\0", b"[]", b'{"": []}', b'{"KEY": 7}', b'{"KEY": [["kv_write"]]}']
)
def test_damaged_results_are_found_out_again(simulate, tmp_path, damaged):
    path = tmp_path / "kernels.json"
    simulate()
    first = self_check.ensure_checked(NO_CHECKS, path)
    (key,) = json.loads(path.read_text())
    path.write_bytes(damaged.replace(b"KEY", key.encode()))
    assert self_check.failures(path) == []
    simulator = simulate()
    again = self_check.ensure_checked(NO_CHECKS, path)
    assert [r[:3] for r in again] == [r[:3] for r in first]
    assert simulator.launches
    assert self_check.is_checked(NO_CHECKS, path)


def test_results_that_cannot_be_kept_hold_for_this_process(simulate, tmp_path, caplog):
    simulate(edit=lambda text: text.replace("P(float(", "P(2.0f * float("))
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "kernels.json"
    results = self_check.ensure_checked(NO_CHECKS, path)
    assert {r.kernel for r in results if r.reason} == {"kv_write", "rope_kv_write"}
    assert not trust.works("kv_write")
    assert "are not kept" in caplog.text


def test_a_result_that_is_no_number_is_wrong(simulate):
    simulate(edit=lambda text: text.replace("P(float(", "P(0.0f / 0.0f * float("))
    failed = failures(self_check.check_kernels(NO_CHECKS))
    assert {kernel for kernel, _ in failed} == {"kv_write", "rope_kv_write"}
    assert set(failed.values()) == {"relative error nan, above 4e-03"}


def test_a_launch_of_more_threads_than_the_pipeline_takes_is_refused(monkeypatch, simulate):
    """MLX names the limit in a ValueError, unlike Metal's compiler."""
    simulate(executes=True)  # only a simulator can have another limit
    monkeypatch.setattr(simulator_module, "MAX_THREADS", 128)
    failed = failures(self_check.check_kernels(NO_CHECKS))
    assert {kernel for kernel, _ in failed} >= {"kv_write", "gather_kv"}
    assert all("Thread group size" in reason for reason in failed.values())


def test_the_fingerprint_follows_all_that_a_result_depends_on(monkeypatch, tmp_path):
    found = {self_check.fingerprint(), self_check.fingerprint()}
    assert len(found) == 1
    with monkeypatch.context() as other:
        other.setattr(self_check, "version", lambda _: "99")
        found.add(self_check.fingerprint())
    with monkeypatch.context() as other:
        other.setattr(self_check.platform, "platform", lambda: "macOS-99")
        found.add(self_check.fingerprint())
    with monkeypatch.context() as other:
        other.setattr(self_check.mx.metal, "is_available", lambda: True)
        other.setattr(self_check.mx, "device_info", lambda: {"device_name": "Apple M9"})
        found.add(self_check.fingerprint())
    (tmp_path / "kv_write.metal").write_text("other")
    monkeypatch.setattr(self_check, "SHADERS", tmp_path)
    found.add(self_check.fingerprint())
    assert len(found) == 5


def test_a_joint_kernel_that_fails_leaves_each_matrix_its_own(simulate):
    simulator = simulate()
    trust.mark_broken("quantized_matvec_Q4_K_Q8_0", "planted")
    blocks = [
        quantized_matmul.StoredBlocks(mx.array(random_blocks(q, 5, 512, rng)), q)
        for q, rng in (("Q4_K", np.random.default_rng(0)), ("Q8_0", np.random.default_rng(1)))
    ]
    quantized_matmul.matmul_many(mx.ones((1, 512)), blocks)
    names = [launch.kernel for launch in simulator.launches]
    assert names == ["quantized_matvec_Q4_K", "quantized_matvec_Q8_0"]


def test_a_kernel_that_ended_its_process_is_not_run_again(simulate, monkeypatch, tmp_path):
    simulator = simulate()
    needs = NEEDS._replace(products=frozenset())
    path = tmp_path / "kernels.json"

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as during:
        during.setattr(self_check, "_run", die)
        with pytest.raises(Killed):
            self_check.ensure_checked(needs, path)
    assert [p.suffix for p in tmp_path.iterdir()] == [f".running-{os.getpid()}"]
    assert not check_journal.CheckJournal(path).deadly, "its process still runs"
    monkeypatch.setattr(check_journal, "_is_alive", lambda _: False)
    results = self_check.ensure_checked(needs, path)
    assert {r.kernel for r in results if r.reason} == {"kv_write"}
    assert "kv_write" not in {launch.kernel for launch in simulator.launches}
    assert [p.name for p in tmp_path.iterdir()] == ["kernels.json"]


def test_results_belong_to_the_tuning_they_were_made_with(simulate, monkeypatch, tmp_path):
    simulate()
    needs, path = NEEDS._replace(products=frozenset()), tmp_path / "kernels.json"
    self_check.ensure_checked(needs, path)
    monkeypatch.setenv(tuning.VARIABLE, "attention_threadgroups=256")
    simulator = simulate()
    self_check.ensure_checked(needs, path)
    assert simulator.launches
