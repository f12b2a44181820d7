"""Which models an adapter may be applied to, told by the name of what it was trained on. Pure."""

import re
from collections.abc import Iterable

from models.hub.catalogue import ENTRIES
from models.name import ModelName
from models.store.manifest import Manifest

_CONVERTED = re.compile(
    r"(?:[-_.](?:gguf|mlx|\d+[-_]?bits?|bnb|unsloth|bf16|fp?16|fp?32|fp8|q\d\w*|awq|gptq|hf|it-qat|"
    r"dwq|qat))+$"
)


def find_bases(base_model: str, manifests: Iterable[Manifest]) -> list[str]:
    """Names of models here that are `base_model`, quantized or not."""
    wanted = _plain(base_model)
    models = (manifest for manifest in manifests if manifest.format != "adapter")
    return [manifest.name for manifest in models if wanted and wanted in _names(manifest)]


def find_source(base_model: str) -> str | None:
    """What to pull for `base_model`: a name of the catalogue, else its repository."""
    wanted = _plain(base_model)
    for entry in ENTRIES:
        if wanted and wanted == _plain(entry.repo):
            return f"{entry.name}:{entry.tag}"
    return f"hf.co/{base_model}" if base_model.count("/") == 1 else None


def how_to_apply(adapter: str, base_model: str, manifests: Iterable[Manifest]) -> str:
    """The command that answers with the adapter, and what it wants first."""
    here = find_bases(base_model, manifests)
    if here:
        return f"localllm run {ModelName.parse(here[0]).short} --adapter {adapter}"
    source = find_source(base_model)
    run = f"localllm run {source or 'MODEL'} --adapter {adapter}"
    return f"localllm pull {source}, then {run}" if source else run


def _names(manifest: Manifest) -> set[str]:
    repo = "" if manifest.source is None else manifest.source.repo
    return {_plain(repo), _plain(ModelName.parse(manifest.name).model)}


def _plain(repo: str) -> str:
    """A model's name without its owner and without what only says how its weights are stored.

    >>> _plain("unsloth/Llama-3.2-1B-Instruct-bnb-4bit"), _plain("x/Llama-3.2-1B-Instruct-GGUF")
    ('llama-3.2-1b-instruct', 'llama-3.2-1b-instruct')
    """
    return _CONVERTED.sub("", repo.rpartition("/")[2].lower())
