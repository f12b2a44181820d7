"""What the app is told by its environment: `LOCALLLM_*` first, Ollama's variables where they fit.

Read once at start; everything else receives the frozen value.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from app.durations import parse_seconds
from models.errors import InvalidInput
from models.memory_plan import parse_kv_type

DEFAULT_PORT = 11434
"""Ollama's, so that its clients find us."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `:port`, `[::1]:port` or `http://host:port`.

    >>> parse_address("0.0.0.0")
    ('0.0.0.0', 11434)
    """
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not an address", hint="write host:port") from error
    if parts.scheme != "http" or parts.path.strip("/") or parts.query:
        raise InvalidInput(f"{text!r} is not an address", hint="write host:port")
    return host or "127.0.0.1", DEFAULT_PORT if port is None else port


def parse_size(text: str) -> int:
    """Bytes of `8GB`, `512MiB` or a plain number.

    >>> parse_size("2GiB")
    2147483648
    """
    units = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
    units |= {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
    body = text.strip().lower().removesuffix("b")
    digits = body.rstrip("kmgti")
    try:
        return int(float(digits) * units[body[len(digits) :].strip()])
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{text!r} is not a size", hint="write 8GB or 512MiB") from error


def _parse_count(text: str) -> int:
    if not text.strip().isdecimal():
        raise InvalidInput(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _parse_flag(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"", "0", "false", "no", "off"}:
        return False
    raise InvalidInput(f"{text!r} is neither 1 nor 0")


def _parse_log_format(text: str) -> str:
    if text.lower() not in ("text", "json"):
        raise InvalidInput(f"{text!r} is no format of logs", hint="write text or json")
    return text.lower()


def _parse_path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _setting(parse: Callable[[str], Any], *names: str, default: Any) -> Any:
    """A field read from the first variable of `names` that is set and not empty."""
    return field(default=default, metadata={"parse": parse, "names": names})


@dataclass(frozen=True)
class Settings:
    """Each field's variables stand beside it; the first that is set wins."""

    address: tuple[str, int] = _setting(
        parse_address, "LOCALLLM_HOST", default=("127.0.0.1", DEFAULT_PORT)
    )
    home: Path = field(
        default_factory=lambda: Path.home() / ".localllm",
        metadata={"parse": _parse_path, "names": ("LOCALLLM_HOME",)},
    )
    keep_alive_s: float = _setting(
        parse_seconds, "LOCALLLM_KEEP_ALIVE", "OLLAMA_KEEP_ALIVE", default=300.0
    )
    """How long a model stays loaded after its last request."""
    load_timeout_s: float = _setting(
        parse_seconds, "LOCALLLM_LOAD_TIMEOUT", "OLLAMA_LOAD_TIMEOUT", default=300.0
    )
    max_queue: int = _setting(_parse_count, "LOCALLLM_MAX_QUEUE", "OLLAMA_MAX_QUEUE", default=512)
    """Requests in the daemon at once; more are answered 503."""
    max_loaded_models: int = _setting(
        _parse_count, "LOCALLLM_MAX_LOADED_MODELS", "OLLAMA_MAX_LOADED_MODELS", default=0
    )
    """0: as many as `memory_bytes` holds."""
    memory_bytes: int | None = _setting(parse_size, "LOCALLLM_MEMORY", default=None)
    """For all loaded models together; None: three quarters of the machine's."""
    kv_cache_bytes: int | None = _setting(parse_size, "LOCALLLM_KV_CACHE", default=None)
    """For each model's keys and values; None: the engine decides."""
    kv_type: Literal["f16", "q8_0"] | None = _setting(
        parse_kv_type, "LOCALLLM_KV_TYPE", "OLLAMA_KV_CACHE_TYPE", default=None
    )
    """How they are kept; None: in 8 bits where memory is too short for 16."""
    prefix_disk_bytes: int = _setting(parse_size, "LOCALLLM_PREFIX_DISK", default=4 * 2**30)
    """For each model's computed prompts on disk, which outlive its worker; 0: none."""
    max_context_tokens: int | None = _setting(
        _parse_count, "LOCALLLM_CONTEXT_LENGTH", "OLLAMA_CONTEXT_LENGTH", default=None
    )
    num_threads: int | None = _setting(_parse_count, "LOCALLLM_THREADS", default=None)
    draft: str | None = _setting(str, "LOCALLLM_DRAFT", default=None)
    """Drafts for every model that has the same tokens and no draft model of its own."""
    api_key: str = _setting(str, "LOCALLLM_API_KEY", default="")
    """What our own commands show a daemon that asks for a key."""
    origins: tuple[str, ...] = _setting(
        _parse_list, "LOCALLLM_ORIGINS", "OLLAMA_ORIGINS", default=()
    )
    """Web pages that may call the daemon, besides local ones."""
    step_timeout_s: float = _setting(parse_seconds, "LOCALLLM_STEP_TIMEOUT", default=60.0)
    """A worker silent for so long, and as much again for each 64 prompt tokens, is replaced."""
    request_timeout_s: float = _setting(
        parse_seconds, "LOCALLLM_REQUEST_TIMEOUT", default=float("inf")
    )
    """The longest that an answer may take, waiting included; a request may ask for less."""
    heartbeat_s: float = _setting(parse_seconds, "LOCALLLM_HEARTBEAT", default=10.0)
    """The longest silence on a stream."""
    shutdown_grace_s: float = _setting(parse_seconds, "LOCALLLM_SHUTDOWN_GRACE", default=10.0)
    debug: bool = _setting(_parse_flag, "LOCALLLM_DEBUG", "OLLAMA_DEBUG", default=False)
    log_format: str = _setting(_parse_log_format, "LOCALLLM_LOG_FORMAT", default="text")
    """`text`, or `json`: one object a line."""
    log_prompts: bool = _setting(_parse_flag, "LOCALLLM_LOG_PROMPTS", default=False)
    """Whether prompts and answers are written to the log."""

    @property
    def host(self) -> str:
        """Where the daemon listens and its clients look."""
        return self.address[0]

    @property
    def port(self) -> int:
        """The TCP port beside `host`."""
        return self.address[1]


READ_ELSEWHERE = frozenset({"LOCALLLM_BACKEND", "LOCALLLM_CPU_ISA", "LOCALLLM_METAL_TUNING"})
"""Variables that other packages read for themselves."""


def known_variables() -> frozenset[str]:
    """Every variable of ours that means something."""
    ours = {name for f in fields(Settings) for name in f.metadata["names"]}
    return frozenset(name for name in ours if name.startswith("LOCALLLM_")) | READ_ELSEWHERE


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        InvalidInput: a value that cannot be read, or a `LOCALLLM_` variable that does not exist.
    """
    for name in environ:
        if name.startswith("LOCALLLM_") and name not in known_variables():
            raise _unknown_variable(name)
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        names: tuple[str, ...] = setting.metadata["names"]
        name = next((n for n in names if environ.get(n)), "")
        if not name:
            continue
        try:
            values[setting.name] = setting.metadata["parse"](environ[name])
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from error
    return Settings(**values)


def _unknown_variable(name: str) -> InvalidInput:
    from difflib import get_close_matches

    near = get_close_matches(name, known_variables(), n=1)
    hint = f"did you mean {near[0]}?" if near else "known: " + ", ".join(sorted(known_variables()))
    return InvalidInput(f"the environment variable {name} means nothing here", hint=hint)
