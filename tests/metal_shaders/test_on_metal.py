"""The kernels on a real GPU (`pytest -m metal`): what the simulator cannot vouch for."""

from functools import partial

import mlx.core as mx
import numpy as np
import pytest

from metal_kernels import reference
from metal_kernels.metal import mapping, quantized_matmul, self_check
from metal_kernels.metal.block_formats import FORMATS, random_blocks
from metal_kernels.metal.check_cases import Needs, Product
from metal_kernels.metal.kv_write import kv_write, rope_kv_write
from metal_kernels.metal.paged_attention import paged_attention

pytestmark = [
    pytest.mark.metal,
    pytest.mark.skipif(not mx.metal.is_available(), reason="no Apple GPU"),
]

DTYPES = [mx.float16, mx.bfloat16, mx.float32]
HEAD_SIZES = [32, 64, 80, 96, 128, 192, 256]
HEADS = [(8, 8), (8, 2), (6, 2), (16, 2)]


def failures(needs):
    return [r for r in self_check.check_kernels(needs) if r.reason]


@pytest.mark.parametrize("quantization", sorted(FORMATS))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_with_blocks(quantization, dtype):
    products = {Product((quantization,), n) for n in (64, 8192)}
    products |= {Product((quantization, "Q4_K", "Q6_K"), n) for n in (64, 8192)}
    assert not failures(Needs(frozenset(products), dtype, mx.float16, 4, 2, 64, 64, 16))


@pytest.mark.parametrize("head_size", HEAD_SIZES)
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_attention_and_writes(head_size, heads, dtype):
    num_heads, num_kv_heads = heads
    sizes = (head_size, head_size, 16)
    assert not failures(Needs(frozenset(), dtype, mx.float16, num_heads, num_kv_heads, *sizes))


def test_keys_and_values_of_different_sizes():
    assert not failures(Needs(frozenset(), mx.float16, mx.float16, 16, 16, 192, 128, 32))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("num_steps", [50, 500])
def test_pipelined_steps_write_in_place_and_read_what_they_wrote(fused, num_steps):
    """Decode of two layers, each step launched before the one before has finished."""
    rng = np.random.default_rng(num_steps)
    num_blocks = -(-num_steps // 16)
    table = mx.array(rng.permutation(num_blocks).astype(np.int32))[None]
    pools = [mx.zeros((num_blocks, 2, 16, 128), dtype=mx.float16) for _ in range(2)]
    keep = list(pools)
    k, v = (mx.array(rng.standard_normal((num_steps, 2, 64)).astype(np.float16)) for _ in range(2))
    q = mx.array(rng.standard_normal((num_steps, 8, 64)).astype(np.float16))
    mx.eval(pools, k, v, q, table)
    before_bytes = mx.get_active_memory()
    outs = []
    for step in range(num_steps):
        slot = table[0, step // 16] * 16 + step % 16
        x = q[step : step + 1]
        for layer in range(2):
            key, value = k[step : step + 1], v[step : step + 1]
            rows = x
            if fused:
                rows, pools[layer] = rope_kv_write(
                    pools[layer], slot[None], x, key, value, mx.array([step]), mx.zeros((32,))
                )
            else:
                pools[layer] = kv_write(pools[layer], slot[None], key, value)
            x = paged_attention(
                rows, pools[layer], block_tables=table, scale=0.125,
                query_starts=mx.array([0, 1]), context_lens=mx.array([step + 1]),
            )  # fmt: skip
        mx.async_eval(x)
        outs.append(x)
    mx.eval(outs)
    pool_bytes = sum(pool.nbytes for pool in keep)
    assert mx.get_active_memory() - before_bytes < pool_bytes + (4 << 20)
    expected = _two_layers(q, k, v)
    got = np.array(mx.concatenate(outs).astype(mx.float32))
    np.testing.assert_allclose(got, np.array(expected.astype(mx.float32)), atol=5e-3)


def _two_layers(q, k, v):
    num_steps = q.shape[0]
    pool = mx.concatenate([k, v], axis=-1).swapaxes(0, 1)[None]  # one block holds every token
    attend = partial(
        reference.paged_attention,
        pool=pool,
        block_tables=mx.array([[0]]),
        query_starts=mx.array([0, num_steps]),
        context_lens=mx.array([num_steps]),
        scale=0.125,
        window=None,
        sinks=None,
        soft_cap=None,
    )
    return attend(attend(q))


def test_mapped_blocks_need_no_copy(tmp_path):
    """A GGUF tensor stays in its file: page-aligned memory is bound as it is."""
    blocks = random_blocks("Q4_K", 4096, 4096, np.random.default_rng(0))
    path = tmp_path / "blocks"
    path.write_bytes(blocks.tobytes())
    mapped = np.memmap(path, np.uint8, "r", shape=blocks.shape)
    stored = mapping.bind(mapped)
    mx.eval(stored)
    assert np.array(stored, copy=False).ctypes.data == mapped.ctypes.data
    y = quantized_matmul.matvec(mx.ones((1, 4096), dtype=mx.float16), stored, "Q4_K")
    row = reference.dequantize_blocks("Q4_K", blocks[:1], 4096).sum()
    np.testing.assert_allclose(float(y[0, 0]), row, rtol=2e-3, atol=2e-2)
