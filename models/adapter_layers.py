"""What is in an adapter, read from its headers: thin matrices, over which layers, how strong.

Knows the names and factors of mlx-lm, PEFT and llama.cpp; not the network that they are for. What
cannot be applied is refused here, before a name points to it.

Sources: mlx_lm/tuner/lora.py and dora.py; peft, tuners/lora/layer.py (`update_layer`) and
utils/other.py (`get_pattern_key`); llama.cpp, src/llama-adapter.cpp.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.adapters import AdapterFiles
from models.directory_texts import read_json_object
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import read_gguf
from models.formats.safetensors import open_safetensors
from models.store.manifest import Details

Shapes = Mapping[str, tuple[int, ...]]

_PARTS = {
    "mlx": re.compile(r"(?P<module>.+)\.(?P<part>lora_a|lora_b|m)"),
    "peft": re.compile(
        r"(?:base_model\.model\.)?(?P<module>.+?)"
        r"\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(?:\.\w+)??(?:\.weight)?"
    ),
    "gguf": re.compile(r"(?P<module>.+)\.weight\.(?P<part>lora_a|lora_b)"),
}
_PART_NAMES = {"lora_A": "lora_a", "lora_B": "lora_b", "lora_magnitude_vector": "m"}
_OF_OTHER_SENSES = re.compile(r"(?:^|[._])(?:vision|visual|audio|multi_modal_projector)(?:[._]|$)")
_OTHER_PEFT = {
    "layer_replication": "repeats layers",
    "alora_invocation_tokens": "is switched on by tokens (aLoRA)",
    "lora_bias": "adds biases",
}


@dataclass(frozen=True)
class AdapterLayer:
    """Two thin matrices over one linear layer, by their names in the file.

    `module` is the layer as the file calls it: "model.layers.0.self_attn.q_proj", "blk.0.attn_q".
    With `magnitude`, the rows of the sum have these lengths (DoRA).
    """

    module: str
    a: str
    b: str
    rank: int
    scale: float
    magnitude: str | None = None


@dataclass(frozen=True)
class Adapter:
    """One adapter. `base_model` is what it was made for, as its maker wrote it; "" if unsaid."""

    files: AdapterFiles
    layers: tuple[AdapterLayer, ...]
    base_model: str
    architecture: str
    num_parameters: int
    total_bytes: int

    @property
    def ranks(self) -> str:
        """ "16", or "8 to 32" where they differ."""
        ranks = sorted({layer.rank for layer in self.layers})
        return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"

    @property
    def label(self) -> str:
        """What listings show for a quantization."""
        return "DoRA" if any(layer.magnitude for layer in self.layers) else "LoRA"


def read_adapter(files: AdapterFiles) -> Adapter:
    """What the adapter's files say.

    Raises:
        InvalidModelFile: damaged, or no adapter.
        Unsupported: it has what cannot be applied.
    """
    readers = {"mlx": _read_mlx, "peft": _read_peft, "gguf": _read_gguf}
    return readers[files.kind](files)


def summarize_adapter(adapter: Adapter) -> Details:
    """What of it goes into the manifest."""
    from models.details import format_count

    return Details(
        architecture=adapter.architecture,
        parameter_count=format_count(adapter.num_parameters),
        quantization=adapter.label,
        base_model=adapter.base_model,
    )


def _read_mlx(files: AdapterFiles) -> Adapter:
    config = _config(files)
    kind = config.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise Unsupported(
            f"{files.weights}: mlx-lm's training of kind {kind!r} is no adapter",
            hint="lora and dora can be applied.",
        )
    try:
        scale = float(config["lora_parameters"]["scale"])
    except (KeyError, TypeError, ValueError):
        raise InvalidModelFile(f"{files.config}: no lora_parameters with a scale in it") from None
    weights = open_safetensors(files.weights)
    shapes = {name: tensor.shape for name, tensor in weights.tensors.items()}
    parts = _group(files, shapes)
    layers = tuple(
        _layer(files, module, found, shapes, rank_axis=1, scale=lambda _rank: scale)
        for module, found in parts.items()
    )
    return _adapter(files, layers, shapes, weights.total_bytes, str(config.get("model") or ""))


def _read_peft(files: AdapterFiles) -> Adapter:
    config = _config(files)
    kind = str(config.get("peft_type", "LORA")).upper()
    if kind != "LORA":
        raise Unsupported(f"{files.weights}: a PEFT adapter of type {kind}", hint="LORA is taken.")
    for key, what in _OTHER_PEFT.items():
        if config.get(key):
            raise Unsupported(f"{files.weights}: a PEFT adapter that {what}, which is not applied")
    weights = open_safetensors(files.weights)
    shapes = {
        name: tensor.shape
        for name, tensor in weights.tensors.items()
        if not _OF_OTHER_SENSES.search(name)  # as the networks here have text alone
    }
    layers = tuple(
        _layer(files, module, found, shapes, rank_axis=0, scale=_PeftScale(files, config, module))
        for module, found in _group(files, shapes).items()
    )
    base = str(config.get("base_model_name_or_path") or "")
    return _adapter(files, layers, shapes, weights.total_bytes, base)


def _read_gguf(files: AdapterFiles) -> Adapter:
    gguf = read_gguf(files.weights)
    metadata = gguf.metadata
    if metadata.get("general.type") != "adapter":
        raise InvalidModelFile(f"{files.weights}: no adapter, but a model or part of one")
    if metadata.get("adapter.type") != "lora" or "adapter.alora.invocation_tokens" in metadata:
        raise Unsupported(
            f"{files.weights}: an adapter of type {metadata.get('adapter.type')!r}",
            hint="lora can be applied.",
        )
    alpha = float(metadata.get("adapter.lora.alpha") or 0.0)  # type: ignore[arg-type]
    shapes = {name: tensor.shape for name, tensor in gguf.tensors.items()}
    layers = tuple(
        _layer(files, module, found, shapes, rank_axis=0, scale=lambda r: alpha / r if alpha else 1)
        for module, found in _group(files, shapes).items()
    )
    base = _gguf_base(metadata)
    architecture = str(metadata.get("general.architecture") or "")
    return _adapter(files, layers, shapes, gguf.total_bytes, base, architecture)


@dataclass(frozen=True)
class _PeftScale:
    """alpha / rank, or alpha / sqrt(rank) in rsLoRA; alpha may differ between layers."""

    files: AdapterFiles
    config: Mapping[str, Any]
    module: str

    def __call__(self, rank: int) -> float:
        patterns = self.config.get("alpha_pattern") or {}
        try:
            key = next((key for key in patterns if re.match(rf"(.*\.)?({key})$", self.module)), "")
            alpha = float(patterns[key] if key else self.config.get("lora_alpha", 8))
        except (TypeError, ValueError, re.error, AttributeError) as error:
            raise InvalidModelFile(f"{self.files.config}: no usable alpha: {error}") from None
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def _group(files: AdapterFiles, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The tensors' names by module and part.

    Raises:
        Unsupported: one is not a part of an adapter over a linear layer.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        match = _PARTS[files.kind].fullmatch(name)
        if match is None:
            raise Unsupported(
                f"{files.weights}: {name} is no matrix of a LoRA over a linear layer",
                hint="Retrained embeddings and whole layers cannot be applied; merge the adapter "
                "into its model with the program that made it.",
            )
        part = _PART_NAMES.get(match["part"], match["part"])
        found.setdefault(match["module"], {})[part] = name
    if not found:
        raise InvalidModelFile(f"{files.weights}: has no matrices of an adapter")
    return found


def _layer(
    files: AdapterFiles,
    module: str,
    found: Mapping[str, str],
    shapes: Shapes,
    *,
    rank_axis: int,
    scale: Any,
) -> AdapterLayer:
    """`rank_axis` is where A has its rank; B has it on the other axis."""
    if "lora_a" not in found or "lora_b" not in found:
        raise InvalidModelFile(f"{files.weights}: {module} has one matrix of two")
    a, b = found["lora_a"], found["lora_b"]
    if len(shapes[a]) != 2 or len(shapes[b]) != 2:
        raise Unsupported(f"{files.weights}: {module} adapts experts or a convolution")
    rank = shapes[a][rank_axis]
    if rank < 1 or shapes[b][1 - rank_axis] != rank:
        raise InvalidModelFile(
            f"{files.weights}: the matrices of {module} have shapes {shapes[a]} and {shapes[b]}"
        )
    return AdapterLayer(module, a, b, rank, float(scale(rank)), found.get("m"))


def _adapter(
    files: AdapterFiles,
    layers: tuple[AdapterLayer, ...],
    shapes: Shapes,
    num_bytes: int,
    base_model: str,
    architecture: str = "",
) -> Adapter:
    count = sum(math.prod(shape) for shape in shapes.values())
    return Adapter(files, layers, _tidy_base(base_model), architecture, count, num_bytes)


def _tidy_base(text: str) -> str:
    """A repository stays; of a directory on its maker's machine only the last part is of use."""
    text = text.strip().rstrip("/")
    text = re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", "", text)
    return text if text.count("/") == 1 and text[0] not in "./~" else text.rpartition("/")[2]


def _gguf_base(metadata: Mapping[str, Any]) -> str:
    for key in ("repo_url", "name"):
        found = metadata.get(f"general.base_model.0.{key}")
        if isinstance(found, str) and found:
            return found
    return ""


def _config(files: AdapterFiles) -> dict[str, Any]:
    assert files.config is not None
    return read_json_object(files.config)
