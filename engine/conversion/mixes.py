"""Which format each tensor of a GGUF file gets in a mix such as Q4_K_M. Pure.

The rules are llama.cpp's (src/llama-quant.cpp), so that a label means the same from either program.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.formats.ggml_types import BLOCK_FORMATS, FILE_TYPES
from models.formats.gguf import TensorInfo

DENSE = ("F32", "F16", "BF16")
BASE_TYPES = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
    "Q2_K": "Q2_K",
}
"""The mixes, and the format that most of a mix's tensors have."""

FILE_TYPE_NUMBERS = {label: number for number, label in FILE_TYPES.items()}

_BLOCK_SIZES = {form.name: form.block_size for form in BLOCK_FORMATS.values()}
_SMALLER_BLOCKS = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_NEVER = (
    "_norm.weight",
    "ffn_gate_inp",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "position_embd",
    "token_types.weight",
    "attn_rel_b.weight",
    "time_mix_",
    ".patch_embd",
)
_VALUE_LIKE = ("attn_v", "attn_qkv", "attn_kv_b")


@dataclass(frozen=True)
class Facts:
    """What the rules ask of a model beside its tensors."""

    architecture: str
    num_layers: int
    num_heads: int
    num_kv_heads: int
    num_experts: int = 0

    @property
    def grouping(self) -> int:
        """Query heads that share a key."""
        return self.num_heads // max(self.num_kv_heads, 1)

    @property
    def is_70b(self) -> bool:
        """Llama 2 70B and its like: attn_v is an eighth of attn_q."""
        return (
            self.architecture in ("llama", "qwen2") and self.num_layers == 80 and self.grouping > 1
        )


def choose_types(
    mix: str, tensors: Mapping[str, TensorInfo], facts: Facts, *, has_importance: bool = False
) -> dict[str, str]:
    """The format of every tensor, by name, in the order of `tensors`."""
    counts = _Counts(facts.num_layers, sum(_kind(name) in _VALUE_LIKE for name in tensors))
    tied = "output.weight" not in tensors
    chosen = {}
    for name in sorted(tensors, key=_by_layer):
        tensor = tensors[name]
        if not _is_quantized(tensor):
            chosen[name] = _small(tensor)
        elif mix in DENSE:
            chosen[name] = mix
        else:
            wanted = _rule(mix, tensor, facts, counts, tied=tied, has_importance=has_importance)
            chosen[name] = _fitting(wanted, tensor.shape[-1])
    return {name: chosen[name] for name in tensors}


@dataclass
class _Counts:
    """Where in the model the walk is: the rules treat the first and last layers better."""

    num_layers: int
    num_value_like: int
    seen: dict[str, int] = field(default_factory=dict)

    def next(self, kind: str) -> int:
        index = self.seen.get(kind, 0)
        self.seen[kind] = index + 1
        return index


def _kind(name: str) -> str:
    """`attn_v`, `ffn_down`, ... whatever the layer; experts' names count as the dense ones."""
    stem = name.removesuffix(".weight").rpartition(".")[2]
    for kind in ("ffn_up", "ffn_gate", "ffn_down"):
        if stem.startswith(kind):
            return kind
    return stem


def _by_layer(name: str) -> tuple[int, str]:
    parts = name.split(".")
    return (int(parts[1]) if parts[0] == "blk" and parts[1].isdigit() else -1, name)


def _is_quantized(tensor: TensorInfo) -> bool:
    name = tensor.name
    is_matrix = len(tensor.shape) >= 2 and name.endswith("weight")
    return is_matrix and not any(part in name for part in _NEVER)


def _small(tensor: TensorInfo) -> str:
    """Norms, biases and the like stay as they are."""
    return tensor.quantization


def _fitting(wanted: str, num_columns: int) -> str:
    """`wanted`, or what has smaller blocks where rows do not fill whole ones."""
    if num_columns % _BLOCK_SIZES[wanted]:
        wanted = _SMALLER_BLOCKS.get(wanted, "F16")
    return "F16" if num_columns % _BLOCK_SIZES[wanted] else wanted


def _more_bits(layer: int, num_layers: int) -> bool:
    """The first and the last eighth, and every third layer between."""
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2


def _rule(
    mix: str,
    tensor: TensorInfo,
    facts: Facts,
    counts: _Counts,
    *,
    tied: bool,
    has_importance: bool,
) -> str:
    kind = _kind(tensor.name)
    base = BASE_TYPES[mix]
    if kind == "output" or (tied and kind in ("token_embd", "per_layer_token_embd")):
        fits = tensor.shape[-1] % _BLOCK_SIZES[base] == 0
        return "Q6_K" if fits and base != "Q8_0" else "Q8_0"
    if kind in _VALUE_LIKE:
        index = counts.next("value")
        return _value_rule(mix, base, index, counts.num_value_like, facts)
    if kind == "attn_k" and facts.num_experts == 8:
        return "Q8_0"
    if kind == "ffn_down":
        index = counts.next(kind)
        layer = _by_layer(tensor.name)[0] if facts.num_experts > 1 else index
        return _down_rule(mix, base, layer, counts.num_layers, has_importance)
    if kind == "attn_output":
        return _attention_output_rule(mix, base, facts)
    return base


def _value_rule(mix: str, base: str, index: int, number: int, facts: Facts) -> str:
    chosen = base
    match mix:
        case "Q2_K":
            chosen = "Q4_K" if facts.grouping >= 4 else "Q3_K"
        case "Q3_K_M":
            chosen = "Q5_K" if index < 2 else "Q4_K"
        case "Q3_K_L":
            chosen = "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(index, number):
            chosen = "Q6_K"
        case "Q4_K_S" if index < 4:
            chosen = "Q5_K"
    if facts.is_70b and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if facts.num_experts == 8 else chosen


def _down_rule(mix: str, base: str, layer: int, num_layers: int, has_importance: bool) -> str:
    early = layer < num_layers // 8
    match mix:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < num_layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, num_layers):
            return "Q6_K"
        case "Q4_K_S" if early:
            return "Q5_K"
        case "Q4_0" | "Q5_0" if early and has_importance:
            return {"Q4_0": "Q4_1", "Q5_0": "Q5_1"}[mix]
    return base


def _attention_output_rule(mix: str, base: str, facts: Facts) -> str:
    if facts.num_experts == 8:
        better = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M")
        return "Q5_K" if mix in better else base
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mix, base)
