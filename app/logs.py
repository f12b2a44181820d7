"""How the daemon and its workers write their log: text for people, or JSON lines for programs.

A record's `fields` (given as `extra={"fields": …}`) are what it is about, by name.
"""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from app.settings import Settings

_SHORT_ID = 12
"""As much of a request's id as a line of text shows; `localllm why` wants all of it."""


class TextFormat(logging.Formatter):
    """`2026-11-21 10:00:00,123 INFO message name=value … [request id]`."""

    def __init__(self, request_id: Callable[[], str], prefix: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._request_id = request_id
        self._prefix = prefix

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, without a traceback."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        parts = [f"{record.asctime} {record.levelname} {self._prefix}{record.message}"]
        parts += [f"{name}={_as_text(value)}" for name, value in fields.items()]
        request_id = self._request_id()
        return " ".join(parts) + (f" [{request_id[:_SHORT_ID]}]" if request_id else "")


class JsonFormat(logging.Formatter):
    """One object a line: time, level, source, message, request_id where there is one, fields."""

    def __init__(self, request_id: Callable[[], str], source: str) -> None:
        super().__init__()
        self._request_id = request_id
        self._source = source

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback is one of its fields."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": self._source,
            "message": record.getMessage(),
        }
        if request_id := self._request_id():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start_log(
    settings: Settings,
    source: str = "daemon",
    request_id: Callable[[], str] = str,
    stream: TextIO | None = None,
) -> None:
    """Write what is logged from here on to `stream` (standard error), as the settings say."""
    handler = logging.StreamHandler(stream or sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormat(request_id, source))
    else:
        handler.setFormatter(TextFormat(request_id, "" if source == "daemon" else f"{source}: "))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if settings.debug else logging.INFO)
    for name in ("uvicorn.error", "asyncio", "httpcore", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or "\n" in text else text
