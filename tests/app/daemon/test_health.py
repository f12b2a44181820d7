"""`/health`, plain and deep."""

import pytest

from app.daemon import status_routes


@pytest.mark.compat("GET /health", "`deep=1`: each loaded model writes tokens")
def test_deep_health_has_the_bundled_model_speak_where_none_is_loaded(daemon) -> None:
    health = daemon.get("/health?deep=1").json
    assert (health["status"], health["models"]) == ("ok", ["pocket:latest"])
    assert health["deep"]["pocket:latest"] > 0


def test_deep_health_is_503_when_a_model_does_not_answer_in_time(daemon, monkeypatch) -> None:
    monkeypatch.setattr(status_routes, "DEEP_TIMEOUT_S", 0.0)
    health = daemon.get("/health?deep=1")
    assert (health.status, health.json["status"]) == (503, "failed")
    assert "not complete" in health.json["deep"]["pocket:latest"]


@pytest.mark.compat("GET /health", "state, models, requests")
def test_health_tells_what_is_loaded(daemon) -> None:
    daemon.post("/api/generate", {"model": "pocket", "prompt": "say 1"})
    health = daemon.get("/health").json
    assert (health["status"], health["models"]) == ("ok", ["pocket:latest"])
