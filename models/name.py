"""Names of models: what may be written, what it means, and how it is shown.

The grammar, case-insensitive in comparisons, with the written case kept:

    name        = [ host "/" ] [ namespace "/" ] model [ ":" tag ]
    host        = 1 to 350 of  A-Z a-z 0-9 _ - . :         first one alphanumeric or _
    namespace   = 1 to 80  of  A-Z a-z 0-9 _ -             (also "." under hf.co)
    model       = 1 to 96  of  A-Z a-z 0-9 _ - .
    tag         = 1 to 200 of  A-Z a-z 0-9 _ - .           (a quantization or file under hf.co)

    default host `registry.ollama.ai`, namespace `library`, tag `latest`, as Ollama has them, so
    that names travel between the two; models of these defaults are local or from our catalogue.

    hf.co/org/repo            a Hub repository, the quantization chosen at pull
    hf.co/org/repo:Q4_K_M     with the quantization, in any case
    hf.co/org/repo:file.gguf  with the file (its base name)
    org/repo[:…]              the same repository, unless a local model has exactly this name
    huggingface.co/…, https://huggingface.co/org/repo[/blob/main/file.gguf]   also accepted

Shown: the shortest form that parses to the same name, always with a tag: `pocket:latest`.

Source: ollama, types/model/name.go (`ParseName`); namespaces and lengths of the Hub are wider.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from models.errors import InvalidInput

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
HUB_HOST = "hf.co"
_HUB_ALIASES = frozenset({"hf.co", "huggingface.co", "www.huggingface.co"})

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_HUB_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_HUB_FILE_URL = re.compile(r"/(?:blob|resolve|raw|tree)/[^/]+(?:/(?P<file>.*))?$")
_HINT = "A name is MODEL[:TAG], or hf.co/ORG/REPO[:QUANT] for the Hugging Face Hub."


@dataclass(frozen=True)
class ModelName:
    """A complete name; equality is exact, `matches` and `key` ignore case."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `text` writes, defaults filled in.

        >>> ModelName.parse("llama3.2:1b").display
        'llama3.2:1b'
        >>> ModelName.parse("https://huggingface.co/org/repo").display
        'hf.co/org/repo:latest'

        Raises:
            InvalidInput: `text` is not a name, with the part that is wrong.
        """
        rest = _strip_url(text.strip())
        path, tag = _split_tag(rest)
        parts = path.split("/")
        if len(parts) > 3:
            raise InvalidInput(f"invalid model name {text!r}: more than three parts", hint=_HINT)
        host, namespace, model = [*_defaults(len(parts)), *parts]
        if host.lower() in _HUB_ALIASES:
            host = HUB_HOST
        name = cls(host, namespace, model, tag)
        name._check(text)
        return name

    def _check(self, text: str) -> None:
        namespace = _HUB_NAMESPACE if self.is_hub else _NAMESPACE
        for part, value, pattern in (
            ("host", self.host, _HOST),
            ("namespace", self.namespace, namespace),
            ("model", self.model, _MODEL),
            ("tag", self.tag, _TAG),
        ):
            if not pattern.fullmatch(value):
                shown = value if len(value) <= 40 else f"{value[:40]}…"
                raise InvalidInput(f"invalid model name {text!r}: {part} {shown!r}", hint=_HINT)

    @property
    def is_hub(self) -> bool:
        """It names a repository of the Hugging Face Hub."""
        return self.host == HUB_HOST

    @property
    def repo(self) -> str:
        """`org/repo` as the Hub writes it."""
        return f"{self.namespace}/{self.model}"

    @property
    def display(self) -> str:
        """The shortest form that parses to the same name, with the tag."""
        path = self.model
        if self.host != DEFAULT_HOST:
            path = f"{self.host}/{self.namespace}/{self.model}"
        elif self.namespace != DEFAULT_NAMESPACE:
            path = f"{self.namespace}/{self.model}"
        return f"{path}:{self.tag}"

    @property
    def short(self) -> str:
        """As people write it: `display` without the default tag."""
        return self.display.removesuffix(f":{DEFAULT_TAG}")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What two names that mean the same have in common."""
        return (
            self.host.lower(),
            self.namespace.lower(),
            self.model.lower(),
            self.tag.lower(),
        )

    def matches(self, other: "ModelName") -> bool:
        """The two mean the same model: equal but for case."""
        return self.key == other.key

    def as_hub(self) -> "ModelName | None":
        """The Hub repository that a two-part name may also mean, else None."""
        if self.host != DEFAULT_HOST or self.namespace == DEFAULT_NAMESPACE:
            return None
        return replace(self, host=HUB_HOST)

    def __str__(self) -> str:
        return self.display


def near_names(text: str, names: Iterable[str], *, max_names: int = 3) -> list[str]:
    """Up to `max_names` of `names` that `text` may have been meant for, best first.

    Tags decide only between models whose names are near.

    >>> near_names("lama3.2", ["llama3.2:1b", "pocket:latest"])
    ['llama3.2:1b']
    """
    scored = [(_likeness(text.lower(), name.lower()), name) for name in set(names)]
    close = sorted((-score, name) for score, name in scored if score >= 0.65)
    return [name for _, name in close[:max_names]]


def _likeness(wanted: str, name: str) -> float:
    """0 to a little over 1: of the path or of its last part, plus a trifle for the tag."""
    wanted_path, _, wanted_tag = wanted.partition(":")
    path, _, tag = name.partition(":")
    last, wanted_last = path.rpartition("/")[2], wanted_path.rpartition("/")[2]
    return max(_ratio(wanted_path, path), _ratio(wanted_last, last)) + 0.1 * _ratio(wanted_tag, tag)


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _strip_url(text: str) -> str:
    """`text` without scheme; a Hub page's address becomes `host/org/repo[:file]`."""
    scheme, found, rest = text.partition("://")
    if not found:
        return text
    if scheme not in ("http", "https", "hf"):
        raise InvalidInput(f"invalid model name {text!r}: scheme {scheme!r}", hint=_HINT)
    rest = rest.partition("?")[0].rstrip("/")
    if scheme == "hf":
        return f"{HUB_HOST}/{rest}"
    page = _HUB_FILE_URL.search(rest)
    if page is None:
        return rest
    file = (page["file"] or "").rpartition("/")[2]
    return rest[: page.start()] + (f":{file}" if file else "")


def _split_tag(text: str) -> tuple[str, str]:
    """Path and tag; a colon before a slash belongs to the host's port."""
    head, slash, last = text.rpartition("/")
    model, colon, tag = last.partition(":")
    return head + slash + model, tag if colon else DEFAULT_TAG


def _defaults(num_parts: int) -> list[str]:
    return [DEFAULT_HOST, DEFAULT_NAMESPACE][: 3 - num_parts]


def full_name(text: str) -> str:
    """A library name with host, namespace and tag, as Ollama's errors have it; a path as it is.

    >>> full_name("pocket"), full_name("/models/a.gguf")
    ('registry.ollama.ai/library/pocket:latest', '/models/a.gguf')
    """
    try:
        parsed = ModelName.parse(text)
    except InvalidInput:
        return text
    return f"{parsed.host}/{parsed.namespace}/{parsed.model}:{parsed.tag}"
