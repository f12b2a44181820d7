"""What `/metrics` tells Prometheus, and what stays right when workers come and go."""

import re
import time
from pathlib import Path

import pytest

from app.daemon.histogram import Histogram, Rate
from app.daemon.metrics import Metric, format_metrics, list_metrics

SAMPLE = re.compile(r'^localllm_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.\deE]+$')


def read_samples(daemon) -> dict[str, float]:
    """Each sample's value by its name and labels; the format is checked on the way."""
    samples, typed = {}, set()
    for line in daemon.get("/metrics").body.decode().splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in typed, f"{line}: twice"
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert SAMPLE.match(line), line
            name = line.split("{")[0].split()[0]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed
            key, _, value = line.rpartition(" ")
            samples[key.removeprefix("localllm_")] = float(value)
    return samples


def generate(daemon, prompt: str, **more: object) -> None:
    daemon.post("/api/generate", {"model": "pocket", "prompt": prompt, "stream": False, **more})
    while daemon.state.measures.answering:  # the answer is there before it is counted
        time.sleep(0.01)


@pytest.mark.compat("GET /metrics", "Prometheus, by model")
def test_answers_are_counted_and_timed_by_model(daemon) -> None:
    generate(daemon, "say 3")
    generate(daemon, "say 5", options={"num_predict": 2})
    found = read_samples(daemon)
    of = 'model="pocket:latest"'
    assert found[f'requests_total{{{of},outcome="stop"}}'] == 1
    assert found[f'requests_total{{{of},outcome="length"}}'] == 1
    assert found[f"output_tokens_total{{{of}}}"] == 5
    assert found[f"prompt_tokens_total{{{of}}}"] == 22
    assert found[f"prefix_cache_hit_ratio{{{of}}}"] == pytest.approx(5 / 11)
    assert found[f"speculation_acceptance_ratio{{{of}}}"] == 0.5
    assert found[f"output_tokens_per_second{{{of}}}"] > 0
    for name in ("time_to_first_token", "time_per_output_token", "request_duration"):
        assert found[f"{name}_seconds_count{{{of}}}"] == 2, name
        assert found[f'{name}_seconds_bucket{{{of},le="+Inf"}}'] == 2, name
        assert found[f"{name}_seconds_sum{{{of}}}"] > 0, name
    assert found["queue_depth"] == 0


def test_the_engines_figures_are_the_models(daemon) -> None:
    generate(daemon, "say 1")
    found = read_samples(daemon)
    of = '{model="pocket:latest"}'
    assert found[f"kv_cache_use_ratio{of}"] == 0.25
    assert found[f"engine_steps_total{of}"] == 7
    assert found[f"worker_restarts_total{of}"] == 0


def test_totals_outlive_a_workers_death_and_its_unloading(daemon, wait_until) -> None:
    generate(daemon, "say 1")
    generate(daemon, "say 4 die 2")
    of = '{model="pocket:latest"}'
    assert read_samples(daemon)[f"worker_restarts_total{of}"] == 1
    generate(daemon, "", keep_alive=0)
    wait_until(lambda: not daemon.state.pool.workers)
    found = read_samples(daemon)
    assert found[f"worker_restarts_total{of}"] == 1
    assert found[f"engine_steps_total{of}"] == 14
    assert f"kv_cache_use_ratio{of}" not in found


def test_a_client_that_leaves_and_an_error_are_outcomes(daemon, wait_until) -> None:
    generate(daemon, "too long")
    stream = daemon.open_stream("/api/generate", {"model": "pocket", "prompt": "say 99 every 0.1"})
    stream.recv(1000)
    stream.close()
    of = 'requests_total{model="pocket:latest",outcome='
    wait_until(lambda: read_samples(daemon).get(f'{of}"cancelled"}}') == 1)
    assert read_samples(daemon)[f'{of}"error"}}'] == 1


def test_a_histogram_counts_each_value_in_all_larger_buckets() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.add(value)
    assert histogram.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert (histogram.count, histogram.total) == (4, 7.65)


def test_a_rate_forgets_what_is_older_than_its_window() -> None:
    rate = Rate(window_s=5.0)
    for second in range(10):
        rate.add(float(second), 20)
    assert rate.per_s(9.0) == pytest.approx(6 * 20 / 5.0)
    assert rate.per_s(100.0) == 0.0


def test_labels_are_escaped() -> None:
    metric = Metric("x", "gauge", "Any.", {(("model", 'a"b\\c\nd'),): 1.5})
    assert format_metrics([metric]).splitlines()[-1] == 'localllm_x{model="a\\"b\\\\c\\nd"} 1.5'


def test_every_metric_is_in_the_documents(daemon) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "observing.md").read_text()
    known = set(re.findall(r"`(\w+)`", text))
    assert {metric.name for metric in list_metrics(daemon.state)} <= known
