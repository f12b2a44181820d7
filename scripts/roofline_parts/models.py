"""Models as their published configurations describe them, and the bytes a decoded token moves.

Bytes are what our kernels must move: every weight that is used once, keys and values once, and each
launch's inputs and outputs. Counted traffic of the kernels stays within 1.05 of it (tests).
"""

from dataclasses import dataclass
from functools import cached_property

from engine.conversion.mixes import Facts, choose_types
from models.formats.ggml_types import BLOCK_FORMATS
from models.formats.gguf import TensorInfo

MIX = "Q4_K_M"
MLX_BITS = 4.5
"""Of a weight in MLX's 4-bit format: groups of 64 with a scale and a bias of 16 bits."""

_FORMATS = {form.name: form for form in BLOCK_FORMATS.values()}
_HALF_BYTES, _LOG_SUM_BYTES = 2, 4


@dataclass(frozen=True)
class Model:
    """Sizes from a model's configuration; `ffn` is an expert's where there are experts."""

    name: str
    architecture: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    ffn: int
    vocabulary: int
    tied: bool = False
    num_experts: int = 0
    experts_per_token: int = 0

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Its matrices under GGUF's names."""
        queries, keys = self.num_heads * self.head_size, self.num_kv_heads * self.head_size
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (self.vocabulary, self.hidden)}
        if not self.tied:
            shapes["output.weight"] = (self.vocabulary, self.hidden)
        layer: dict[str, tuple[int, ...]] = {
            "attn_q": (queries, self.hidden),
            "attn_k": (keys, self.hidden),
            "attn_v": (keys, self.hidden),
            "attn_output": (self.hidden, queries),
        }
        stack, suffix = ((self.num_experts,), "_exps") if self.num_experts else ((), "")
        for kind in ("gate", "up"):
            layer[f"ffn_{kind}{suffix}"] = (*stack, self.ffn, self.hidden)
        layer[f"ffn_down{suffix}"] = (*stack, self.hidden, self.ffn)
        if self.num_experts:
            layer["ffn_gate_inp"] = (self.num_experts, self.hidden)
        for i in range(self.num_layers):
            shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in layer.items()}
        return {name: TensorInfo(name, "F32", shape, 0) for name, shape in shapes.items()}

    @cached_property
    def stored_bytes(self) -> dict[str, float]:
        """Of each matrix in the mix."""
        facts = Facts(
            self.architecture, self.num_layers, self.num_heads, self.num_kv_heads, self.num_experts
        )
        kinds = choose_types(MIX, self.tensors, facts)
        return {
            name: tensor.num_parameters / _FORMATS[kinds[name]].block_size
            * _FORMATS[kinds[name]].block_bytes
            for name, tensor in self.tensors.items()
        }  # fmt: skip

    @property
    def file_bytes(self) -> float:
        """All matrices in the mix."""
        return sum(self.stored_bytes.values())

    def used_share(self, name: str) -> float:
        """The part of a matrix that one token reads."""
        if name == "token_embd.weight" and not self.tied:
            return 1 / self.vocabulary
        return self.experts_per_token / self.num_experts if "_exps" in name else 1.0

    @property
    def weight_bytes(self) -> float:
        """Read for a token."""
        return sum(size * self.used_share(name) for name, size in self.stored_bytes.items())

    @property
    def mlx_weight_bytes(self) -> float:
        """The same in MLX's 4-bit format."""
        used = (t.num_parameters * self.used_share(name) for name, t in self.tensors.items())
        return sum(used) * MLX_BITS / 8

    def kv_bytes(self, context: int) -> float:
        """Keys and values of `context` tokens, read once, in float16."""
        width = 2 * self.num_kv_heads * self.head_size
        return self.num_layers * context * width * _HALF_BYTES

    def activation_bytes(self, num_splits: int) -> float:
        """What the launches of a step hand each other; attention's partial sums among it."""
        queries, keys = self.num_heads * self.head_size, self.num_kv_heads * self.head_size
        ffn = self.ffn * max(1, self.experts_per_token)
        halves = (
            2 * 5 * self.hidden  # two norms and two sums: in, out, in, in, out
            + self.hidden + 2 * (queries + 2 * keys)  # projections, then their rotation
            + queries + 2 * keys  # ... into the pool
            + 3 * queries + self.hidden  # attention and its projection
            + self.hidden + 7 * ffn + self.hidden  # gate and up, their product, down
        )  # fmt: skip
        split = queries * _HALF_BYTES + self.num_heads * _LOG_SUM_BYTES
        partials = 2 * num_splits * split if num_splits > 1 else 0
        layer = halves * _HALF_BYTES + partials
        return self.num_layers * layer + self.vocabulary * _HALF_BYTES


MODELS = (
    Model("Llama 3.2 1B", "llama", 2048, 16, 32, 8, 64, 8192, 128256, tied=True),
    Model("Llama 3.2 3B", "llama", 3072, 28, 24, 8, 128, 8192, 128256, tied=True),
    Model("Llama 3.1 8B", "llama", 4096, 32, 32, 8, 128, 14336, 128256),
    Model("Qwen3 32B", "qwen3", 5120, 64, 64, 8, 128, 25600, 151936),
    Model("Llama 3.3 70B", "llama", 8192, 80, 64, 8, 128, 28672, 128256),
    Model(
        "Qwen3 30B-A3B", "qwen3moe", 2048, 48, 32, 4, 128, 768, 151936,
        num_experts=128, experts_per_token=8,
    ),
)  # fmt: skip
