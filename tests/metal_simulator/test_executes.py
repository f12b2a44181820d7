"""What the simulator computes: arithmetic, collectives and matrices as a GPU does."""

import mlx.core as mx
import numpy as np
import pytest

from tests.metal_simulator import build
from tests.metal_simulator.dialect import DialectError, translate
from tests.metal_simulator.simulator import Simulator


def run(simulator, source, inputs, shape, dtype=mx.float32, *, threads=32, groups=1, **more):
    names = [f"in{i}" for i in range(len(inputs))]
    kernel = simulator.metal_kernel("probe", names, ["out"], source, more.pop("header", ""))
    return kernel(
        inputs=inputs,
        output_shapes=[shape],
        output_dtypes=[dtype],
        grid=(threads * groups, 1, 1),
        threadgroup=(threads, 1, 1),
        **more,
    )[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_a_threadgroup_sums_its_row(seed, dtype):
    source = """
    threadgroup float partial[4];
    float sum = simd_sum(float(in0[thread_position_in_grid.x]));
    if (thread_index_in_simdgroup == 0) partial[simdgroup_index_in_threadgroup] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index_in_threadgroup == 0)
      out[threadgroup_position_in_grid.x] = T(partial[0] + partial[1] + partial[2] + partial[3]);
    """
    x = mx.random.normal((3, 128)).astype(dtype)
    y = run(
        Simulator(seed=seed), source, [x], (3,), threads=128, groups=3, template=[("T", mx.float32)]
    )
    np.testing.assert_allclose(y, x.astype(mx.float32).sum(1), rtol=1e-5, atol=1e-4)


def test_shuffles_move_values_between_lanes():
    source = """
    const uint lane = thread_index_in_simdgroup;
    out[lane] = simd_shuffle_xor(in0[lane], 4);
    out[32 + lane] = simd_broadcast(in0[lane], 7);
    out[64 + lane] = simd_shuffle_down(in0[lane], 1);
    out[96 + lane] = simd_shuffle(in0[lane], 31 - lane);
    """
    lanes = np.arange(32)
    y = np.array(run(Simulator(), source, [mx.arange(32)], (4, 32), mx.int32))
    expected = [lanes ^ 4, np.full(32, 7), np.minimum(lanes + 1, 31), 31 - lanes]
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("dtype", "name"), [(mx.float16, "half"), (mx.float32, "float")])
def test_matrix_fragments_multiply_in_apples_layout(dtype, name):
    source = f"""
    simdgroup_matrix<{name}, 8, 8> a, b;
    simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    simdgroup_load(a, in0, 8);
    simdgroup_load(b, in1, 8, ulong2(0), true);
    simdgroup_multiply_accumulate(c, a, b, c);
    simdgroup_store(c, out, 8);
    const uint lane = thread_index_in_simdgroup;
    if (lane == 6) out[64] = float(a.thread_elements()[1]);
    """
    a, b = (mx.random.normal((8, 8)).astype(dtype) for _ in range(2))
    y = run(Simulator(seed=1), source, [a, b], (65,))
    product = a.astype(mx.float32) @ b.astype(mx.float32).T
    np.testing.assert_allclose(y[:64].reshape(8, 8), product, atol=1e-5)
    assert float(y[64]) == float(a[3, 1])


def test_bfloat_rounds_to_nearest_even():
    x = mx.random.normal((256,)) * 1e3
    y = run(Simulator(), "out[thread_position_in_grid.x] = T(in0[thread_position_in_grid.x]);", [x],
            (256,), mx.bfloat16, threads=256, template=[("T", mx.bfloat16)])  # fmt: skip
    assert mx.array_equal(y, x.astype(mx.bfloat16))


def test_wide_loads_read_neighbours():
    source = """
    const uint i = thread_index_in_simdgroup;
    const uint4 word = ((const device uint4*)in0)[i];
    const half4 halves = as_type<half4>(uint2(word.z, word.w));
    out[i] = float(halves.y);
    """
    x = mx.random.normal((256,)).astype(mx.float16)
    np.testing.assert_array_equal(run(Simulator(), source, [x], (32,)), x[5::8].astype(mx.float32))


def test_the_edge_of_the_grid_is_a_smaller_threadgroup():
    source = "out[thread_position_in_grid.x] = int(threads_per_threadgroup.x);"
    kernel = Simulator().metal_kernel("probe", [], ["out"], source)
    y = kernel(inputs=[], output_shapes=[(40,)], output_dtypes=[mx.int32], grid=(40, 1, 1),
               threadgroup=(32, 1, 1))[0]  # fmt: skip
    assert y.tolist() == [32] * 32 + [8] * 8


def test_a_cast_away_const_writes_the_input_itself():
    source = """
    device int* target = const_cast<device int*>(in0);
    target[thread_index_in_simdgroup] = 7;
    if (thread_index_in_simdgroup == 0) out[0] = 1;
    """
    pool = mx.zeros((64,), dtype=mx.int32)
    mx.eval(pool)
    run(Simulator(), source, [pool], (8,), mx.int32)
    assert pool.tolist() == [7] * 32 + [0] * 32


def test_traffic_counts_sectors_once_and_second_sweeps_again():
    source = """
    float sum = 0;
    for (int sweep = 0; sweep < sweeps; ++sweep)
      for (uint i = thread_index_in_simdgroup; i < 8192; i += 32) sum += in0[i];
    out[thread_index_in_simdgroup] = sum;
    """
    simulator = Simulator(cache_bytes=4096)
    for sweeps in (1, 2):
        run(simulator, source, [mx.zeros((8192,))], (32,), template=[("sweeps", sweeps)])
    once, twice = (launch.traffic["in0"] for launch in simulator.launches)
    assert (once.requested, once.fetched) == (32768, 32768)
    assert (twice.requested, twice.fetched) == (65536, 65536)
    assert simulator.launches[0].traffic["out"].stored == 128


def test_traffic_of_a_broadcast_is_one_sector():
    source = "out[thread_index_in_simdgroup] = in0[3];"
    simulator = Simulator(cache_bytes=4096)
    run(simulator, source, [mx.zeros((64,))], (32,))
    assert simulator.launches[0].traffic["in0"].fetched == 32


def test_undefined_bytes_are_those_no_launch_wrote():
    simulator = Simulator()
    y = run(
        simulator,
        "if (thread_index_in_simdgroup < 5) out[thread_index_in_simdgroup] = 1;",
        [],
        (32,),
    )
    assert simulator.num_undefined_bytes(y) == 27 * 4


@pytest.mark.parametrize(
    "text",
    [
        "device float& x = w[0];",
        "threadgroup float x[2][4];",
        "float* x = sums;",
        "const uint4& x = word;",
    ],
)
def test_text_outside_the_dialect_is_refused(text):
    with pytest.raises(DialectError, match="line 1"):
        translate(text)


def test_a_header_cannot_name_launch_attributes():
    header = "METAL_FUNC uint own_lane() { return thread_index_in_simdgroup; }"
    with pytest.raises(build.BuildError, match="thread_index_in_simdgroup"):
        run(Simulator(), "out[0] = own_lane();", [], (8,), header=header)


def test_address_spaces_do_not_mix():
    header = "METAL_FUNC float first(const device float* at) { return at[0]; }"
    big, small = mx.ones((8,)), mx.ones((7,))
    assert float(run(Simulator(), "if (thread_index_in_simdgroup == 0) out[0] = first(in0);", [big],
                     (8,), header=header)[0]) == 1.0  # fmt: skip
    for source, inputs in (
        ("out[0] = first(in0);", [small]),  # MLX binds fewer than eight elements as constant
        ("threadgroup float s[8]; out[0] = first(s);", [big]),
        ("float s[8]; out[0] = first(s);", [big]),
        ("threadgroup float* s = (threadgroup float*)in0;", [big]),
        ("out[0] = first(reinterpret_cast<const threadgroup float*>(in0));", [big]),
    ):
        with pytest.raises(build.BuildError, match=r"first|Pointer"):
            run(Simulator(), source, inputs, (8,), header=header)
