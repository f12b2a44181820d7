"""What the simulator refuses: each fault a GPU would turn into silent garbage."""

import mlx.core as mx
import numpy as np
import pytest

from tests.metal_simulator.simulator import KernelFault, Simulator

SEEDS = [0, 1, 2, 3]


def run(source, *, simulator=None, seed=0, inputs=(), shape=(64,), threads=64, groups=1):
    simulator = simulator or Simulator(seed=seed)
    kernel = simulator.metal_kernel(
        "faulty", [f"in{i}" for i in range(len(inputs))], ["out"], source
    )
    return kernel(
        inputs=list(inputs),
        output_shapes=[shape],
        output_dtypes=[mx.float32],
        grid=(threads * groups, 1, 1),
        threadgroup=(threads, 1, 1),
    )[0]


def fault(source, match, **more):
    with pytest.raises(KernelFault, match=match):
        run(source, **more)


EXCHANGE = """
threadgroup float shared[64];
const uint i = thread_index_in_threadgroup;
shared[i] = float(i);
{before}
const float other = shared[63 - i];
{after}
shared[i] = other;
out[i] = other;
"""
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"


@pytest.mark.parametrize("seed", SEEDS)
def test_barriers_make_an_exchange_safe(seed):
    y = run(EXCHANGE.format(before=BARRIER, after=BARRIER), seed=seed)
    assert y.tolist() == list(range(63, -1, -1))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_barrier_before_the_read_is_a_fault_in_every_schedule(seed):
    fault(EXCHANGE.format(before="", after=BARRIER), "race|uninitialised", seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_barrier_after_the_read_is_a_fault_in_every_schedule(seed):
    fault(EXCHANGE.format(before=BARRIER, after=""), "race", seed=seed)


def test_a_simdgroup_barrier_does_not_order_two_simdgroups():
    before = "simdgroup_barrier(mem_flags::mem_threadgroup);"
    fault(EXCHANGE.format(before=before, after=BARRIER), "race|uninitialised")


def test_a_simdgroup_barrier_orders_the_lanes_of_one():
    source = """
    threadgroup float shared[64];
    const uint i = thread_index_in_threadgroup;
    shared[i] = float(i);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    out[i] = shared[i ^ 1];
    """
    assert run(source, seed=1).tolist() == [i ^ 1 for i in range(64)]


def test_reads_past_the_end_name_the_buffer():
    source = "out[thread_index_in_threadgroup] = in0[thread_index_in_threadgroup + 1];"
    fault(source, "out of bounds: reads 4 bytes at offset 256 of 'in0'", inputs=[mx.zeros((64,))])


def test_writes_past_the_end_and_before_the_start():
    fault("out[thread_index_in_threadgroup + 1] = 0;", "out of bounds: writes .* 'out'")
    fault(
        "out[int(thread_index_in_threadgroup) - 1] = 0;",
        "out of bounds: writes .* offset -4 of 'out'",
    )


def test_threadgroup_arrays_have_bounds():
    fault(
        "threadgroup float s[8]; s[thread_index_in_threadgroup] = 1;",
        "out of bounds: writes .* 's'",
    )


def test_wide_loads_must_be_aligned():
    fault("const uint4 v = *(const device uint4*)(in0 + 1); out[0] = float(v.x);", "misaligned",
          inputs=[mx.zeros((64,))])  # fmt: skip


def test_reading_what_nobody_wrote():
    fault("out[1] = out[0];", "uninitialised: reads 'out'", threads=1)
    fault("threadgroup float s[8]; out[0] = s[0];", "uninitialised: reads 's'", threads=1)


def test_reading_marked_holes_of_an_input():
    simulator, x = Simulator(), mx.zeros((64,))
    simulator.mark_undefined(x, np.arange(64) >= 60)
    source = "out[thread_index_in_threadgroup] = in0[thread_index_in_threadgroup];"
    fault(source, "uninitialised: reads 'in0' at offset 240", simulator=simulator, inputs=[x])


def test_reading_what_an_earlier_launch_left_out():
    simulator = Simulator()
    x = run(
        "if (thread_index_in_threadgroup != 9) out[thread_index_in_threadgroup] = 1;",
        simulator=simulator,
    )
    source = "out[thread_index_in_threadgroup] = in0[thread_index_in_threadgroup];"
    fault(source, "uninitialised: reads 'in0' at offset 36", simulator=simulator, inputs=[x])


@pytest.mark.parametrize("seed", SEEDS)
def test_lanes_that_part_before_a_collective(seed):
    fault("""
    float v = 1;
    if (thread_index_in_simdgroup < 16) v = simd_sum(v);
    else v = simd_max(v);
    out[thread_index_in_threadgroup] = v;
    """, "divergent simdgroup collective", seed=seed)  # fmt: skip


def test_lanes_that_loop_a_different_number_of_times():
    fault("""
    float v = 1;
    for (uint i = 0; i <= thread_index_in_simdgroup % 2; ++i) v = simd_sum(v);
    out[thread_index_in_threadgroup] = v;
    """, "divergent simdgroup collective")  # fmt: skip


def test_a_lane_that_returns_before_a_collective_or_a_barrier():
    early = "if (thread_index_in_threadgroup >= 60) return;"
    fault(f"{early} out[thread_index_in_threadgroup] = simd_sum(1.0f);", "divergent .* its end")
    fault(f"{early} {BARRIER}", "divergent .* its end")


def test_simdgroups_that_wait_at_different_barriers():
    fault(f"""
    if (simdgroup_index_in_threadgroup == 0) {{
      {BARRIER}
    }} else {{
      {BARRIER}
    }}
    """, "divergent threadgroup barrier")  # fmt: skip


def test_two_threads_write_one_place():
    fault("out[thread_index_in_threadgroup / 2] = 1;", "race: .* both write 'out'")
    fault("out[thread_index_in_threadgroup] = 1;", "race: .* both write 'out'", groups=2)


def test_a_threadgroup_reads_what_another_wrote():
    source = """
    const uint g = threadgroup_position_in_grid.x, i = thread_index_in_threadgroup;
    out[64 * g + i] = 1;
    if (g == 1) out[64 + i] = float(out[i]);
    """
    fault(source, "race: .* write and read 'out'", groups=2, shape=(128,))


def test_too_much_threadgroup_memory():
    fault("threadgroup float s[8193]; s[0] = 1;", "32772 bytes of threadgroup memory", threads=1)


def test_a_partial_simdgroup_has_no_collectives():
    fault("out[thread_index_in_threadgroup] = simd_sum(1.0f);", "simdgroup of 8 lanes", threads=40)


def test_a_fault_leaves_the_simulator_usable():
    fault("out[64] = 1;", "out of bounds")
    assert run("out[thread_index_in_threadgroup] = 2;").tolist() == [2.0] * 64
