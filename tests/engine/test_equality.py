"""The bundled model gives one text, however the engine comes to it (`scripts/check_engine.py`)."""

import pytest

from scripts.check_engine import answer_alone, make_requests, ways
from scripts.engine_setup import Setup, load_setup

WAYS = ("dense", "batched", "chunked", "cached", "looked up", "drafted", "preempted")


@pytest.fixture(scope="module", params=["f16", "q8_0"])
def setup(request: pytest.FixtureRequest) -> Setup:
    return load_setup(None, request.param)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_way_of_the_engine_gives_the_text_of_a_request_alone(setup: Setup, seed: int) -> None:
    requests = make_requests(setup.num_logits, 50, 8, seed)
    expected = answer_alone(setup, requests)
    found = ways(setup, requests, expected)
    assert tuple(found) == (WAYS if setup.kv_type == "f16" else WAYS[1:])
    for name, answer in found.items():
        assert answer() == expected, name
