"""What the log holds: request ids, fields, and prompts only where they are asked for."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.logs import start_log
from app.settings import Settings


@pytest.fixture(autouse=True)
def _kept_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def logged(log_format: str, source: str = "daemon") -> str:
    stream = io.StringIO()
    settings = Settings(home=Path("/nowhere"), log_format=log_format)
    start_log(settings, source, lambda: "0123456789abcdef", stream)
    log = logging.getLogger("any")
    log.info("answer", extra={"fields": {"model": "a b", "ttft_s": 0.25}})
    try:
        raise ValueError("oh")
    except ValueError:
        log.exception("it failed")
    return stream.getvalue()


def test_json_lines_hold_fields_and_tracebacks_whole() -> None:
    first, second = map(json.loads, logged("json").splitlines())
    assert first["message"] == "answer"
    assert (first["level"], first["request_id"]) == ("info", "0123456789abcdef")
    assert (first["model"], first["ttft_s"]) == ("a b", 0.25)
    assert second["traceback"].endswith("ValueError: oh")


def test_text_is_for_people() -> None:
    lines = logged("text", "worker").splitlines()
    assert lines[0].endswith('INFO worker: answer model="a b" ttft_s=0.250 [0123456789ab]')
    assert lines[-1] == "ValueError: oh"
