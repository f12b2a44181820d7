"""A model as a directory of safetensors: MLX's, quantized or not, or Hugging Face's."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from engine.conversion.parameters import DTYPES, Parameter
from engine.conversion.types import Affine
from models.errors import InvalidInput, InvalidModelFile, Unsupported
from models.formats.safetensors_writer import NewStoredTensor, safetensors_bytes, safetensors_pieces
from models.store.new_files import NewFile, NewFiles, text_file

ARCHITECTURES = {
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "granite": "GraniteForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
"""Hugging Face's class for each `model_type`; all but experts is named as in the zoo."""

_TORCH_NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}


@dataclass(frozen=True)
class Layout:
    """What a directory's weights are to be: `affine` for matrices, `dtype` for all else."""

    dtype: str
    affine: Affine | None = None


def to_directory(
    parameters: Sequence[Parameter],
    config: dict[str, Any],
    text_files: Sequence[NewFile],
    layout: Layout,
    *,
    allow_requantize: bool = False,
) -> NewFiles:
    """`config.json`, `text_files` (the tokenizer's) and one `model.safetensors`.

    Raises:
        InvalidInput: a matrix is quantized already, and `allow_requantize` is not given.
    """
    planned = [(parameter, _affine_of(parameter, layout)) for parameter in parameters]
    for parameter, affine in planned:
        if affine is not None and parameter.stored not in DTYPES and not allow_requantize:
            raise InvalidInput(
                f"{parameter.path} is quantized already, as {parameter.stored}",
                hint="Start from the F16, BF16 or F32 original; --allow-requantize goes on "
                "from here, with a loss that adds up.",
            )
    tensors = [tensor for plan in planned for tensor in _stored(*plan, layout.dtype)]
    metadata = {"format": "mlx"}
    read = _Reader(planned, layout.dtype)
    weights = NewFile(
        "model.safetensors",
        safetensors_bytes(tensors, metadata),
        partial(safetensors_pieces, tensors, metadata, read),
    )
    text = json.dumps(_new_config(config, layout), indent=2, ensure_ascii=False) + "\n"
    return NewFiles("mlx", (text_file("config.json", text), *text_files, weights))


def check_hugging_face(config: dict[str, Any]) -> None:
    """Refuse a family whose parameters Hugging Face names otherwise than the zoo.

    Raises:
        Unsupported: with the families that are known.
    """
    if config["model_type"] not in ARCHITECTURES:
        raise Unsupported(
            f"{config['model_type']} cannot be written as Hugging Face's safetensors",
            hint=f"Known: {', '.join(ARCHITECTURES)}. The format mlx takes any model.",
        )


def _new_config(config: dict[str, Any], layout: Layout) -> dict[str, Any]:
    dropped = ("quantization", "quantization_config")
    new = {key: value for key, value in config.items() if key not in dropped}
    if new["model_type"] in ARCHITECTURES:
        new.setdefault("architectures", [ARCHITECTURES[new["model_type"]]])
    new["torch_dtype"] = _TORCH_NAMES[layout.dtype]
    if layout.affine is not None:
        new["quantization"] = {
            "group_size": layout.affine.group_size,
            "bits": layout.affine.bits,
            "mode": "affine",
        }
    return new


def _affine_of(parameter: Parameter, layout: Layout) -> Affine | None:
    """How this parameter is quantized; None for norms, routers and rows that fill no group."""
    affine = layout.affine
    if affine is None or not parameter.is_matrix or not parameter.path.endswith(".weight"):
        return None
    return None if parameter.shape[-1] % affine.group_size else affine


def _stored(parameter: Parameter, affine: Affine | None, dtype: str) -> list[NewStoredTensor]:
    if affine is None:
        return [NewStoredTensor(parameter.path, dtype, parameter.shape)]
    module = parameter.path.removesuffix(".weight")
    *rows, num_columns = parameter.shape
    groups = num_columns // affine.group_size
    return [
        NewStoredTensor(parameter.path, "U32", (*rows, num_columns * affine.bits // 32)),
        NewStoredTensor(f"{module}.scales", dtype, (*rows, groups)),
        NewStoredTensor(f"{module}.biases", dtype, (*rows, groups)),
    ]


class _Reader:
    """Gives each stored tensor's bytes in turn. Scales and biases come with the codes, and wait."""

    def __init__(self, planned: Sequence[tuple[Parameter, Affine | None]], dtype: str) -> None:
        self._planned = {parameter.path: (parameter, affine) for parameter, affine in planned}
        self._dtype = dtype
        self._waiting: dict[str, list[bytes]] = {}

    def __call__(self, tensor: NewStoredTensor) -> Iterator[bytes]:
        if tensor.name in self._waiting:
            yield from self._waiting.pop(tensor.name)
            return
        parameter, affine = self._planned[tensor.name]
        for slab in parameter.read():
            dense = self._as_dtype(slab, parameter)
            yield _bytes(dense) if affine is None else self._quantize(dense, parameter, affine)

    def _as_dtype(self, slab: mx.array, parameter: Parameter) -> mx.array:
        """
        Raises:
            InvalidModelFile: a weight is not a number, or too large for the type.
        """
        dense = slab.astype(DTYPES[self._dtype])
        if not mx.isfinite(dense).all().item():
            raise InvalidModelFile(
                f"{parameter.path}: has weights that {self._dtype} cannot hold",
                hint="BF16 and F32 can, unless the file is damaged.",
            )
        return dense

    def _quantize(self, dense: mx.array, parameter: Parameter, affine: Affine) -> bytes:
        module = parameter.path.removesuffix(".weight")
        codes, *others = mx.quantize(dense, affine.group_size, affine.bits)
        for kind, part in zip(("scales", "biases"), others, strict=True):
            self._waiting.setdefault(f"{module}.{kind}", []).append(_bytes(part))
        return _bytes(codes)


def _bytes(array: mx.array) -> bytes:
    raw: bytes = np.array(array.view(mx.uint8)).tobytes()
    return raw
