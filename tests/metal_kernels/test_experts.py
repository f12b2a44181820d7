"""Routing and experts in one op, against their definitions in plain array maths."""

import mlx.core as mx
import numpy as np
import pytest
from random_blocks import random_blocks

from metal_kernels import backend, experts, grouped, reference
from metal_kernels.experts import ExpertWeights
from metal_kernels.routing import Routing

ROUTINGS = {
    "softmax": Routing(3),
    "normalised": Routing(3, normalised=True),
    "one": Routing(1, normalised=True),
    "all": Routing(12),
    "sigmoid": Routing(4, sigmoid=True, normalised=True, scale=2.5),
    "groups": Routing(3, num_groups=4, num_chosen_groups=2, scale=16.0),
    "groups by two": Routing(
        3, sigmoid=True, normalised=True, num_groups=4, num_chosen_groups=2, group_by_two=True
    ),
}


def random(*shape, seed=0, scale=1.0):
    return mx.random.normal(shape, key=mx.random.key(seed)) * scale


@pytest.mark.parametrize("name", ROUTINGS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rows", [1, 50, 1500])
def test_experts_are_chosen_as_defined(name, biased, rows):
    logits, bias = random(rows, 12, seed=rows), random(12, seed=1) if biased else None
    ids, weights = experts.route(logits, ROUTINGS[name], bias)
    expected_ids, expected = reference.route(logits, ROUTINGS[name], bias)
    assert ids.dtype == expected_ids.dtype == mx.int32
    np.testing.assert_array_equal(np.array(ids), np.array(expected_ids))
    np.testing.assert_allclose(np.array(weights), np.array(expected), rtol=1e-5)


def test_of_equal_experts_the_first_are_chosen_whatever_the_numbers():
    for value in (0.0, float("nan"), float("inf"), -1e30):
        ids, _ = experts.route(mx.full((2, 8), value), Routing(3))
        assert ids.tolist() == [[0, 1, 2]] * 2


def test_more_experts_than_there_are_is_refused():
    if backend.backend() == "cpu":
        with pytest.raises(ValueError, match="sizes"):
            experts.route(mx.zeros((1, 2)), Routing(3))


def make_stack(name, rows, columns, seed):
    blocks = random_blocks(name, 6 * rows, columns, seed)
    return grouped.load_blocks(name, blocks.reshape(6, rows, -1), columns)


def make_experts(name, *, width=256, hidden=256, biased=False, **more):
    parts = [
        make_stack(name, hidden, width, 1),
        make_stack(name, hidden, width, 2),
        make_stack("Q6_K" if name == "Q4_K" else name, width, hidden, 3),
    ]
    sizes = (hidden, hidden, width)
    biases = [random(6, n, seed=n) for n in sizes] if biased else [None] * 3
    return ExpertWeights(*parts, *biases, **more)


def plainly(x, ids, weights, mlp):
    """Token by token, expert by expert, with dequantized weights."""
    gate, up, down = (grouped.dequantize(part) for part in (mlp.gate, mlp.up, mlp.down))
    rows = []
    for t, chosen in enumerate(ids.tolist()):
        total = mx.zeros(mlp.down.num_rows)
        for j, e in enumerate(chosen):
            g, u = gate[e] @ x[t], up[e] @ x[t]
            if mlp.gate_bias is not None:
                g, u = g + mlp.gate_bias[e], u + mlp.up_bias[e]
            out = down[e] @ experts.activate(g, u, mlp)
            if mlp.down_bias is not None:
                out = out + mlp.down_bias[e]
            total = total + weights[t, j] * out
        rows.append(total)
    return mx.stack(rows)


@pytest.mark.parametrize("rows", [1, 2, 23, 90])
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "MXFP4", "F16", "F32"])
def test_experts_together_equal_experts_one_by_one(name, rows):
    mlp = make_experts(name)
    x = random(rows, 256, seed=rows)
    ids, weights = experts.route(random(rows, 6, seed=4), Routing(2, normalised=True))
    expected = plainly(x, ids, weights, mlp)
    error = np.abs(np.array(experts.expert_mlp(x, ids, weights, mlp) - expected))
    assert error.max() < 3e-4 * np.abs(np.array(expected)).max()


@pytest.mark.parametrize("name", ["Q8_0", "MXFP4", "F32"])
def test_biases_and_the_clamped_gate_of_gpt_oss(name):
    mlp = make_experts(name, biased=True, alpha=1.702, limit=1.5)
    x = random(31, 256, seed=5, scale=4.0)
    ids, weights = experts.route(random(31, 6, seed=6), Routing(3, normalised=True))
    expected = plainly(x, ids, weights, mlp)
    error = np.abs(np.array(experts.expert_mlp(x, ids, weights, mlp) - expected))
    assert error.max() < 3e-4 * np.abs(np.array(expected)).max()


def test_gate_and_up_may_be_stored_differently():
    mlp = ExpertWeights(
        make_stack("Q4_K", 320, 256, 1),
        make_stack("F16", 320, 256, 2),
        make_stack("F32", 70, 320, 3),
    )
    x = random(17, 256, seed=7)
    ids, weights = experts.route(random(17, 6, seed=8), Routing(2))
    expected = plainly(x, ids, weights, mlp)
    error = np.abs(np.array(experts.expert_mlp(x, ids, weights, mlp) - expected))
    assert error.max() < 3e-4 * np.abs(np.array(expected)).max()


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "F16"])
def test_a_token_comes_out_the_same_alone_and_in_company(name):
    mlp = make_experts(name)
    x = random(70, 256, seed=9)
    ids, weights = experts.route(random(70, 6, seed=10), Routing(2))

    def run(rows):
        return np.array(experts.expert_mlp(x[rows], ids[rows], weights[rows], mlp))

    backend.set_num_threads(1)
    alone = np.concatenate([run(slice(i, i + 1)) for i in range(70)])
    backend.set_num_threads(2)
    for count in (2, 9, 70):
        np.testing.assert_array_equal(run(slice(count)), alone[:count])


def test_no_tokens_give_no_rows():
    mlp = make_experts("Q8_0")
    empty = mx.zeros((0, 2), mx.int32)
    assert experts.expert_mlp(mx.zeros((0, 256)), empty, mx.zeros((0, 2)), mlp).shape == (0, 256)
