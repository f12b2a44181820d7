"""Which layouts hold: by chip family, as measured, as the user says; and how they are measured."""

import json

import mlx.core as mx
import pytest

from metal_kernels.metal import quantized_matmul, tuner, tuning
from metal_kernels.metal.quantized_matmul import StoredBlocks
from metal_kernels.metal.tuner import Workload, tune
from tests.metal_shaders.test_quantized_matmul import check, make_case

SMALL = Workload(
    quantizations=("Q8_0",), num_outputs=48, num_columns=256, num_copies=1, num_heads=2,
    num_kv_heads=1, head_size=32, context=1040, num_rounds=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def forget_measurements(monkeypatch):
    monkeypatch.setattr(tuning, "_measured", {})
    monkeypatch.delenv(tuning.VARIABLE, raising=False)


def test_families_are_known_by_the_letter_of_their_size():
    names = ("applegpu_g13g", "applegpu_g14s", "applegpu_g15d", "applegpu_g99x", "x86_64")
    assert [tuning.family_of(name) for name in names] == ["g", "s", "d", "g", "g"]
    assert tuning.FAMILIES["d"].attention_threadgroups > tuning.FAMILIES["g"].attention_threadgroups
    for tuned in tuning.FAMILIES.values():
        assert all(getattr(tuned, name) in values for name, values in tuning.CHOICES.items())


def test_the_variable_wins_over_what_was_measured(monkeypatch):
    tuning.use({"small_simdgroups": 8, "matvec_simdgroups": 4, "unknown": 1, "small_max_rows": 5})
    monkeypatch.setenv(tuning.VARIABLE, "small_simdgroups=2, attention_threadgroups=64")
    assert tuning.current() == tuning.Tuning(
        small_simdgroups=2, matvec_simdgroups=4, attention_threadgroups=64
    )


@pytest.mark.parametrize("text", ["rows=4", "small_simdgroups=3", "small_simdgroups"])
def test_an_override_that_is_not_understood_is_refused_with_what_is(monkeypatch, text):
    monkeypatch.setenv(tuning.VARIABLE, text)
    with pytest.raises(ValueError, match=r"matvec_max_rows, .*|may be 1, 2, 4, 8"):
        tuning.current()


def test_a_table_holds_for_its_machine_only(tmp_path):
    path = tmp_path / "cache" / "tuning.json"
    tuning.keep(path, "mine", {"small_simdgroups": 8})
    tuning.load(path, "mine")
    assert tuning.current().small_simdgroups == 8
    tuning.load(path, "another")
    assert tuning.current().small_simdgroups == 4
    for damaged in (b"[1", b"\xff\xfe\0", b'{"mine": 3}', b'{"mine": {"small_simdgroups": "8"}}'):
        path.write_bytes(damaged)
        tuning.load(path, "mine")
        assert tuning.current().small_simdgroups == 4


LAYOUTS = [
    {"matvec_weight_rows": 1, "matvec_simdgroups": 8},
    {"matvec_weight_rows": 8, "matvec_simdgroups": 1},
    {"small_simdgroups": 1, "matvec_max_rows": 0, "small_max_rows": 8},
    {"small_simdgroups": 2, "matvec_max_rows": 0, "small_max_rows": 32},
    {"small_simdgroups": 8, "small_max_rows": 4, "matvec_max_rows": 2},
]


@pytest.mark.parametrize("values", LAYOUTS, ids=str)
@pytest.mark.parametrize("num_x", [1, 4, 7, 20])
def test_results_do_not_depend_on_the_layout(simulate, values, num_x):
    simulator = simulate(seed=1)
    tuning.use(values)
    x, blocks, exact = make_case("Q5_K", 37, 768, num_x, mx.float32)
    check(quantized_matmul.matmul(x, blocks, "Q5_K"), exact)
    (launch,) = simulator.launches
    tuned = tuning.current()
    small = num_x > tuned.matvec_max_rows and num_x <= tuned.small_max_rows
    assert launch.kernel.startswith("quantized_matmul_small") == small


def test_the_largest_layout_fits_into_threadgroup_memory(simulate):
    simulator = simulate()
    tuning.use({"small_simdgroups": max(tuning.CHOICES["small_simdgroups"])})
    x, blocks, exact = make_case("Q8_0", 40, 512, 32, mx.float32)
    (y,) = quantized_matmul.small_matmul_many(x, [StoredBlocks(blocks, "Q8_0")], num_tiles=4)
    check(y, exact)
    assert simulator.launches[-1].threadgroup_bytes == 32768


def test_the_fastest_of_each_kind_is_chosen(simulate):
    """Time is made up: the fewer threadgroups, the less, but matrices of 8x8 cost ten times."""
    simulator = simulate()

    def cost(launch):
        simulator.launches.clear()
        mx.eval(launch())
        return sum(
            (10 if "small" in x.kernel else 1)
            * (x.grid[0] * x.grid[1] * x.grid[2] / (x.threadgroup[0] * x.threadgroup[1]))
            for x in simulator.launches
        )

    seen = []
    chosen = tune(SMALL, cost, seen.append)
    assert chosen["matvec_weight_rows"] * chosen["matvec_simdgroups"] == 32
    assert chosen["matvec_max_rows"] == 4
    assert chosen["attention_threadgroups"] == 32
    assert tuning.current()._asdict() == tuning.FAMILIES["g"]._asdict() | chosen
    assert {name for m in seen for name in m.values} == set(tuning.CHOICES)
    assert json.loads(json.dumps(chosen)) == chosen


def test_time_is_that_of_the_results():
    made = []
    seconds = tuner.launch_time(lambda: [made.append(1) or mx.ones(3)])
    assert made == [1]
    assert seconds > 0
