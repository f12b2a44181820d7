"""Picks, from the files of a Hub repository, those that make up one loadable model. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.adapters import (
    CONFIG_NAME,
    WEIGHTS_NAMES,
    adapter_kind,
    has_pickled_adapter,
    refuse_pickled,
)
from models.errors import InvalidInput, NotFound, Unsupported
from models.name import near_names
from models.store.manifest import Kind, Role

if TYPE_CHECKING:
    from models.hub.snapshot import HubFile

PREFERRED = (
    "Q4_K_M",
    "UD-Q4_K_XL",
    "Q4_K_XL",
    "Q4_K_L",
    "Q4_K_S",
    "Q4_K",
    "Q4_0",
    "Q4_1",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_0",
    "Q5_1",
    "IQ4_XS",
    "IQ4_NL",
    "MXFP4",
    "Q6_K",
    "Q8_0",
    "Q3_K_L",
    "Q3_K_M",
    "Q3_K_S",
    "Q2_K",
    "BF16",
    "F16",
    "FP16",
    "F32",
)
"""Without a wish: 4-bit first (a third of 16 bits at little loss), then up, then down."""

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_LABEL = re.compile(
    r"(?:^|[-_.])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]{1,3})*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4(?:_MOE)?))"
    r"(?=$|[-.])",
    re.IGNORECASE,
)
NOT_A_MODEL = re.compile(r"(?:^|[-_.])(?:mmproj|imatrix|projector)(?:[-_.]|$)", re.IGNORECASE)
_TOKENIZER_FILES = re.compile(
    r"tokenizer.*|vocab.*|merges\.txt|special_tokens_map\.json|added_tokens\.json"
    r"|chat_template.*|.*\.tiktoken|.*\.model"
)
_CONFIG_FILES = re.compile(r".*config.*\.json|.*\.safetensors\.index\.json")
_LICENSE_FILES = re.compile(r"licen[sc]e(?:\.txt|\.md)?|use_policy\.md", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """The files of one model, weights in order; `label` is the quantization, "" if unknown."""

    format: Kind
    label: str
    files: tuple[tuple[Role, "HubFile"], ...]

    @property
    def weights(self) -> list["HubFile"]:
        """The files that hold numbers: the network's, or the adapter's."""
        return [
            file
            for role, file in self.files
            if role in ("model", "shard") or (role == "adapter" and file.path != CONFIG_NAME)
        ]

    @property
    def weight_bytes(self) -> int:
        """What they take, on the disk and in memory."""
        return sum(file.size_bytes for file in self.weights)


@dataclass(frozen=True)
class _Variant:
    label: str
    stem: str
    files: tuple["HubFile", ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def choose_files(
    files: Iterable["HubFile"], repo: str, wanted: str | None, *, max_bytes: int | None = None
) -> Choice:
    """The model that `wanted` asks for: a quantization in any case, a file name, or None.

    The one adapter of a repository that holds no model is as good as named. None means the first
    of `PREFERRED` whose weights are no more than `max_bytes`, or the smallest
    where none are; MLX or plain safetensors where there is no GGUF file. Of the same file, whole
    and in shards, the whole one is taken.

    Raises:
        NotFound: nothing is called so; the hint lists what there is.
        InvalidInput: several models are called so.
        Unsupported: the repository holds no model that can be loaded.
    """
    listed = sorted(files, key=lambda file: file.path)
    variants = _gguf_variants(listed)
    if _means_adapter(listed, wanted, has_model=bool(variants) or _is_model_directory(listed)):
        return _choose_adapter(listed, repo)
    if not variants:
        return _choose_directory(listed, repo, wanted)
    found = _preferred(variants, max_bytes) if wanted is None else _called(variants, wanted)
    if not found:
        labels = _labels(variants)
        near = near_names(wanted or "", labels)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise NotFound(
            f"{repo}: no GGUF file called {wanted!r}", hint=f"{meant}It has {', '.join(labels)}."
        )
    if len({variant.stem.lower() for variant in found}) == 1:
        found = [min(found, key=lambda variant: len(variant.files))]
    if len(found) > 1:
        names = ", ".join(variant.files[0].base_name for variant in found[:6])
        raise InvalidInput(
            f"{repo}: {len(found)} models are called {wanted or found[0].label!r}: {names}",
            hint=f"Name the file: {repo}:{found[0].files[0].base_name}",
        )
    (variant,) = found
    _check_shards(variant, repo)
    role: Role = "model" if len(variant.files) == 1 else "shard"
    return Choice("gguf", variant.label, tuple((role, file) for file in variant.files))


def find_label(stem: str) -> str:
    """The quantization that a file name without `.gguf` ends in, as written, or "".

    >>> find_label("Llama-3.2-1B-Instruct-Q4_K_M"), find_label("gemma-3-4b-it-UD-Q4_K_XL")
    ('Q4_K_M', 'UD-Q4_K_XL')
    """
    labels = _LABEL.findall(stem)
    return labels[-1] if labels else ""


def _gguf_variants(files: Sequence["HubFile"]) -> list[_Variant]:
    groups: dict[tuple[str, int], list[HubFile]] = {}
    for file in files:
        if file.path.lower().endswith(".gguf") and not NOT_A_MODEL.search(file.base_name):
            stem = file.path[: -len(".gguf")]
            shard = _SHARD.search(stem)
            key = (_SHARD.sub("", stem), int(shard[2]) if shard else 1)
            groups.setdefault(key, []).append(file)
    variants = []
    for (path, _), group in groups.items():
        stem = path.rpartition("/")[2]
        label = find_label(stem) or find_label(path.replace("/", "-"))
        variants.append(_Variant(label, stem, tuple(group)))
    return variants


def _called(variants: list[_Variant], wanted: str) -> list[_Variant]:
    """By file name first, then by label, then by a label that only lacks its prefix."""
    text = wanted.lower()
    stem = _SHARD.sub("", text.removesuffix(".gguf"))
    for matches in (
        lambda v: text in (file.base_name.lower() for file in v.files),
        lambda v: v.stem.lower() == stem,
        lambda v: v.label.lower() == text,
        lambda v: v.label.lower().removeprefix("ud-") == text,
    ):
        found = [variant for variant in variants if matches(variant)]
        if found:
            return found
    return []


def _preferred(variants: list[_Variant], max_bytes: int | None) -> list[_Variant]:
    """The first in the fixed order that fits; the smallest when none does."""
    known = [variant for variant in variants if variant.label.upper() in PREFERRED]
    if max_bytes is not None and known:
        fitting = [variant for variant in known if variant.num_bytes <= max_bytes]
        known = fitting or [min(known, key=lambda variant: variant.num_bytes)]
    for label in PREFERRED:
        found = [variant for variant in known if variant.label.upper() == label]
        if found:
            return found
    return variants


def _labels(variants: list[_Variant]) -> list[str]:
    return list(dict.fromkeys(variant.label or variant.stem for variant in variants))


def _check_shards(variant: _Variant, repo: str) -> None:
    match = _SHARD.search(variant.files[0].path.removesuffix(".gguf"))
    if match is not None and int(match[2]) != len(variant.files):
        raise NotFound(
            f"{repo}: {len(variant.files)} of the {int(match[2])} shards of {variant.stem} are "
            "in the repository"
        )


def _means_adapter(files: list["HubFile"], wanted: str | None, *, has_model: bool) -> bool:
    names = {file.path for file in files}
    if wanted is not None and wanted.lower() in WEIGHTS_NAMES.values():
        return wanted.lower() in names
    return not has_model and (adapter_kind(names) is not None or has_pickled_adapter(names))


def _choose_adapter(files: list["HubFile"], repo: str) -> Choice:
    names = {file.path for file in files}
    kind = adapter_kind(names)
    if kind is None:
        raise refuse_pickled(repo)
    roles: dict[str, Role] = {CONFIG_NAME: "adapter", WEIGHTS_NAMES[kind]: "adapter"}
    roles |= {name: "license" for name in names if _LICENSE_FILES.fullmatch(name)}
    kept = tuple((roles[file.path], file) for file in files if file.path in roles)
    return Choice("adapter", "LoRA", kept)


def _choose_directory(files: list["HubFile"], repo: str, wanted: str | None) -> Choice:
    top = [file for file in files if "/" not in file.path]
    names = {file.path for file in top}
    if not _is_model_directory(files):
        raise Unsupported(
            f"{repo}: no GGUF file, and no config.json with safetensors",
            hint="GGUF and MLX repositories can be pulled; other formats cannot.",
        )
    if wanted is not None:
        raise NotFound(
            f"{repo}: is one model of safetensors, nothing in it is called {wanted!r}",
            hint=f"Pull it as {repo}.",
        )
    chosen = [(find_role(file.path, names), file) for file in top]
    kept = tuple((role, file) for role, file in chosen if role is not None)
    return Choice("mlx", "", kept)


def _is_model_directory(files: list["HubFile"]) -> bool:
    """config.json with weights beside it; a PEFT adapter's are none."""
    names = {file.path for file in files}
    weights = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    return "config.json" in names and any(not name.startswith("adapter") for name in weights)


def find_role(name: str, names: set[str]) -> Role | None:
    """What a top-level file of a safetensors repository is for; None for what is not needed.

    `names` are all of the top level.
    """
    if name.endswith(".safetensors"):
        is_copy = name.startswith("consolidated") and any(n.startswith("model") for n in names)
        return None if is_copy or name.startswith("adapter") else "model"
    if _TOKENIZER_FILES.fullmatch(name):
        return "tokenizer"
    if name.endswith(".py") or name == CONFIG_NAME:
        return None
    if _CONFIG_FILES.fullmatch(name):
        return "config"
    return "license" if _LICENSE_FILES.fullmatch(name) else None
