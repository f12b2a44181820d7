"""The compatibility table is what the tests say, and says something of every route."""

import importlib.util
from pathlib import Path

from app.daemon.openapi import OPERATIONS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "write_compatibility_table.py"
spec = importlib.util.spec_from_file_location("write_compatibility_table", SCRIPT)
assert spec is not None
assert spec.loader is not None
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)

ANSWERED_ONLY = {
    "GET /api/status",
    "POST /api/signout",
    "DELETE /api/user/keys/{key}",
    "POST /api/experimental/web_search",
    "POST /api/experimental/web_fetch",
    "GET /api/experimental/model-recommendations",
}
"""Ollama's cloud and accounts, of which there is nothing to say."""


def test_the_table_is_not_stale() -> None:
    assert tables.TABLE.read_text() == tables.make_table(), "run `make docs`"


def test_every_route_is_in_the_table_and_every_line_is_of_a_route() -> None:
    routes = {f"{method.upper()} {path}" for method, path in OPERATIONS}
    marked = {line.route for line in tables.read_lines()}
    assert marked <= routes
    assert routes - marked == ANSWERED_ONLY


def test_no_feature_is_told_twice_by_one_test() -> None:
    lines = tables.read_lines()
    assert len(lines) == len(set(lines))
