"""What a model is, read from its own files: for `show`, listings and manifests."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.directory_texts import read_chat_template, read_json_object, read_license
from models.errors import InvalidInput, InvalidModelFile
from models.files import ModelFiles
from models.fit import total_memory_bytes
from models.formats.conversions import describe_conversions
from models.formats.ggml_types import FILE_TYPES
from models.formats.gguf import GGUFFile, read_gguf
from models.formats.mlx_metadata import mlx_metadata
from models.formats.safetensors import SafetensorsFiles, open_safetensors
from models.store.manifest import Details
from models.template import effective_template

_MAX_INLINE_ITEMS = 5
_EMBEDDING_ARCHITECTURES = frozenset(
    {"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "gemma-embedding", "xlm-roberta"}
)
_TOOL_MARKS = ("tools", "tool_calls", ".Tools")
_THINKING_MARKS = (
    "enable_thinking",
    "reasoning_content",
    "<think>",
    "</think>",
    "[THINK]",
    "reasoning_effort",
    ".Thinking",
)
_GAP_MARKS = frozenset(
    {"<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<MID>", "▁<MID>", "<|code_middle|>"}
    | {"<\uff5cfim\u2581end\uff5c>", "[SUFFIX]"}
)


@dataclass(frozen=True)
class TensorSummary:
    """One tensor as `show --tensors` prints it."""

    name: str
    quantization: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelDetails:
    """Everything `show` can say of a model. `metadata` has GGUF's keys for either format."""

    details: Details
    parameter_count: int
    total_bytes: int
    template: str | None
    license: str | None
    metadata: Mapping[str, Any]
    tensors: tuple[TensorSummary, ...]
    conversions: tuple[str, ...] = ()
    """Formats that are converted at load, since there is no kernel for them."""

    @property
    def experts(self) -> str:
        """ "128, 8 for each token"; empty where feed-forward layers are dense."""
        prefix = self.details.architecture
        count, used = (
            _whole(self.metadata.get(f"{prefix}.{key}"))
            for key in ("expert_count", "expert_used_count")
        )
        return f"{count}, {used} for each token" if count else ""

    def model_info(self, *, verbose: bool = False) -> dict[str, Any]:
        """`metadata` for JSON, as Ollama's /api/show gives it.

        Without the name and the chat template; arrays of more than 5 items are empty unless
        `verbose`.
        """
        hidden = ("general.name", "tokenizer.chat_template")
        info = {
            key: _to_json(value, verbose)
            for key, value in self.metadata.items()
            if key not in hidden
        }
        return info | {"general.parameter_count": self.parameter_count}


def describe(files: ModelFiles) -> ModelDetails:
    """Read the headers and say what the model is.

    Raises:
        InvalidModelFile: a file is damaged, or says nothing of its architecture.
        InvalidInput: it is an adapter.
    """
    return _describe_gguf(files) if files.format == "gguf" else _describe_mlx(files)


def summarize(files: ModelFiles) -> Details:
    """What of `describe` goes into the manifest."""
    return describe(files).details


def format_count(count: int) -> str:
    """A number of parameters as model cards write it.

    >>> format_count(8_030_261_248), format_count(134_515_008)
    ('8.0B', '134.52M')
    """
    for limit, suffix, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 2)):
        if count >= limit:
            return f"{count / limit:.{digits}f}{suffix}"
    return str(count)


def find_capabilities(
    architecture: str, template: str | None, *, pooled: bool, fills_gaps: bool = False
) -> tuple[str, ...]:
    """What the model can be asked for, in Ollama's words."""
    if pooled or architecture in _EMBEDDING_ARCHITECTURES:
        return ("embedding",)
    found = ["completion"]
    if template is not None:
        if any(mark in template for mark in _TOOL_MARKS):
            found.append("tools")
        if any(mark in template for mark in _THINKING_MARKS):
            found.append("thinking")
    if fills_gaps:
        found.append("insert")
    return tuple(found)


def _fills_gaps(metadata: Mapping[str, Any]) -> bool:
    """Whether the vocabulary has marks for text between two others."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    return isinstance(tokens, list) and not _GAP_MARKS.isdisjoint(tokens)


def _describe_gguf(files: ModelFiles) -> ModelDetails:
    gguf = read_gguf(files.paths[0])
    metadata = gguf.metadata
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise InvalidModelFile(f"{files.paths[0]}: general.architecture is missing")
    if metadata.get("general.type") == "adapter":
        raise InvalidInput(
            f"{files.paths[0]}: a LoRA adapter, not a model",
            hint="`localllm run MODEL --adapter FILE` applies it; so does ADAPTER in a Modelfile.",
        )
    template = effective_template(files.template, _text(metadata.get("tokenizer.chat_template")))
    parameter_count = sum(tensor.num_parameters for tensor in gguf.tensors.values())
    pooled = metadata.get(f"{architecture}.pooling_type", 0) not in (0, None)
    details = Details(
        architecture=architecture,
        parameter_count=format_count(parameter_count),
        quantization=_gguf_label(gguf),
        context_length=_whole(metadata.get(f"{architecture}.context_length")),
        embedding_length=_whole(metadata.get(f"{architecture}.embedding_length")),
        capabilities=find_capabilities(
            architecture, template, pooled=pooled, fills_gaps=_fills_gaps(metadata)
        ),
    )
    return ModelDetails(
        details=details,
        parameter_count=parameter_count,
        total_bytes=gguf.total_bytes,
        template=template,
        license=files.license or _text(metadata.get("general.license")),
        metadata=metadata,
        tensors=tuple(
            TensorSummary(tensor.name, tensor.quantization, tensor.shape)
            for tensor in gguf.tensors.values()
        ),
        conversions=describe_conversions(gguf.tensors.values(), total_memory_bytes()),
    )


def _gguf_label(gguf: GGUFFile) -> str:
    """The file's own label, else the format that most bytes are in."""
    file_type = gguf.metadata.get("general.file_type")
    if isinstance(file_type, int) and file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    num_bytes: Counter[str] = Counter()
    for tensor in gguf.tensors.values():
        num_bytes[tensor.quantization] += tensor.num_bytes
    return num_bytes.most_common(1)[0][0] if num_bytes else "unknown"


def _describe_mlx(files: ModelFiles) -> ModelDetails:
    assert files.directory is not None
    config = read_json_object(files.directory / "config.json")
    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        raise InvalidModelFile(f"{files.directory / 'config.json'}: model_type is missing")
    text_config = config.get("text_config")
    text = config | text_config if isinstance(text_config, dict) else config
    weights = open_safetensors(files.directory)
    parameter_count = _count_mlx(weights, config)
    template = effective_template(files.template, read_chat_template(files.directory))
    details = Details(
        architecture=architecture,
        parameter_count=format_count(parameter_count),
        quantization=_mlx_label(weights, config),
        context_length=_whole(text.get("max_position_embeddings")),
        embedding_length=_whole(text.get("hidden_size")),
        capabilities=find_capabilities(architecture, template, pooled=False),
    )
    return ModelDetails(
        details=details,
        parameter_count=parameter_count,
        total_bytes=weights.total_bytes,
        template=template,
        license=files.license or read_license(files.directory),
        metadata=mlx_metadata(architecture, text),
        tensors=tuple(
            TensorSummary(tensor.name, tensor.dtype, tensor.shape)
            for tensor in weights.tensors.values()
        ),
    )


def _quantization_of(config: Mapping[str, Any]) -> dict[str, Any]:
    found = config.get("quantization") or config.get("quantization_config") or {}
    return found if isinstance(found, dict) else {}


def _count_mlx(weights: SafetensorsFiles, config: Mapping[str, Any]) -> int:
    """Weights before packing: a packed matrix has one scale for each group of a row."""
    quantization = _quantization_of(config)
    total = 0
    for name, tensor in weights.tensors.items():
        module, _, part = name.rpartition(".")
        scales = weights.tensors.get(f"{module}.scales")
        count = 1
        for size in tensor.shape:
            count *= size
        if scales is None:
            total += count
        elif part == "weight" and tensor.shape and scales.shape:
            own = quantization.get(module)
            group_size = _whole((own if isinstance(own, dict) else quantization).get("group_size"))
            rows = count // max(tensor.shape[-1], 1)
            total += rows * scales.shape[-1] * (group_size or 64)
        elif part not in ("scales", "biases"):
            total += count
    return total


def _mlx_label(weights: SafetensorsFiles, config: Mapping[str, Any]) -> str:
    quantization = _quantization_of(config)
    mode = quantization.get("mode", "affine")
    if mode != "affine":
        return str(mode)
    if "bits" in quantization:
        return f"{quantization['bits']}-bit"
    num_bytes: Counter[str] = Counter()
    for tensor in weights.tensors.values():
        num_bytes[tensor.dtype] += tensor.num_bytes
    return num_bytes.most_common(1)[0][0] if num_bytes else "unknown"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _to_json(value: Any, verbose: bool) -> Any:
    items = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(items, list) and len(items) > _MAX_INLINE_ITEMS and not verbose:
        return []
    return items
