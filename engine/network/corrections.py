"""Parts of a network that its family's class of mlx-lm leaves out, has wrong, or in another form.

Each was found by comparing tiny random models with transformers.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.network.olmo import use_plain_norms
from engine.network.tiled_heads import tile_value_heads

Config = Mapping[str, Any]
Zoo = Callable[[str], Any]
"""Gives a module of mlx-lm by its name."""


def correct(network: Any, config: Config, zoo: Zoo) -> None:
    """Change what the configuration asks for."""
    by_type = _BY_TYPE.get(config["model_type"])
    if by_type is not None:
        by_type(network, config)
    if config["model_type"] == "arcee":
        _use_squared_relu(network, config, zoo("nemotron").MLP)
    if config.get("has_bare_shared_layers"):
        _bare_shared_layers(network, int(config["num_kv_shared_layers"]))
    if config.get("has_tiled_value_heads"):
        tile_value_heads(network)
    if config.get("has_split_shared_mlp"):
        _split_shared_mlp(network, config, zoo("llama").MLP)


def _change_class(module: Any, changed: Callable[[Any], Any]) -> None:
    """Put a subclass, made of the module's own class, in its place."""
    own_class = type(module)
    subclass = changed(own_class)
    subclass.__module__ = own_class.__module__
    module.__class__ = subclass


def _correct_mamba(network: Any, config: Config) -> None:
    """Norms have the file's epsilon, and Mamba 2 normalises each group of channels for itself."""
    for module in network.modules():
        if type(module) is nn.RMSNorm:
            module.eps = float(config.get("layer_norm_epsilon", module.eps))
    num_groups = int(config.get("n_groups", 1))
    if num_groups > 1:
        for layer in network.layers:
            _change_class(layer.mixer.norm, lambda own: _normed_by_group(own, num_groups))


def _normed_by_group(own_class: Any, num_groups: int) -> Any:
    class Grouped(own_class):  # type: ignore[misc]
        def __call__(self, x: mx.array, gate: mx.array | None = None) -> mx.array:
            x = x if gate is None else nn.silu(gate) * x
            groups = mx.unflatten(x, -1, (num_groups, -1))
            normed: mx.array = mx.fast.rms_norm(groups, None, self.eps).flatten(-2) * self.weight
            return normed

    return Grouped


def _correct_jamba(network: Any, _config: Config) -> None:
    """Experts weigh as much as their shares among all; in mlx-lm the chosen ones sum to one."""
    for layer in network.layers:
        if "switch_mlp" in layer.feed_forward:
            _change_class(layer.feed_forward, _weighed_by_all)


def _weighed_by_all(own_class: Any) -> Any:
    class OfAll(own_class):  # type: ignore[misc]
        def __call__(self, x: mx.array) -> mx.array:
            scores = mx.softmax(self.router(x), axis=-1, precise=True)
            chosen = mx.argpartition(-scores, self.num_experts_per_tok - 1, axis=-1)
            chosen = chosen[..., : self.num_experts_per_tok]
            weights = mx.take_along_axis(scores, chosen, axis=-1)
            result: mx.array = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2)
            return result

    return OfAll


def _correct_hunyuan(network: Any, config: Config) -> None:
    """The chosen experts' weights sum to one where the file says so; see `sparse_mlp`."""
    for layer in network.layers:
        layer.mlp._norm_topk_prob = bool(config.get("norm_topk_prob"))


def _correct_minicpm(network: Any, config: Config) -> None:
    """What the head sees is divided, also where the head is the embedding."""
    if not config.get("tie_word_embeddings"):
        return
    divisor = config["hidden_size"] / config["dim_model_base"]
    _change_class(network.model, lambda own: _divided(own, divisor))


def _divided(own_class: Any, divisor: float) -> Any:
    class Divided(own_class):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
            hidden: mx.array = super().__call__(*args, **kwargs) / divisor
            return hidden

    return Divided


def _correct_ernie(network: Any, _config: Config) -> None:
    """Experts are chosen by scores that have a bias; mlx-lm drops it."""
    for layer in network.layers:
        if "switch_mlp" in layer.mlp:
            layer.mlp.e_score_correction_bias = mx.zeros(layer.mlp.gate.weight.shape[0])


def _correct_apertus(network: Any, config: Config) -> None:
    """Its activations have parameters that GGUF files keep as metadata."""
    for name, each in config.get("xielu", {}).items():
        for layer, value in zip(network.layers, each, strict=True):
            layer.mlp.act_fn[name] = mx.array(value)


def _use_squared_relu(network: Any, config: Config, mlp: Callable[..., Any]) -> None:
    """Arcee is a llama whose layers have no gate."""
    for layer in network.layers:
        layer.mlp = mlp(_mlp_sizes(config, config["intermediate_size"]))


def _split_shared_mlp(network: Any, config: Config, mlp: Callable[..., Any]) -> None:
    """Granite's shared expert with gate and up apart, as GGUF files have them."""
    for layer in network.layers:
        if "shared_mlp" in layer:
            layer.shared_mlp = mlp(_mlp_sizes(config, config["shared_intermediate_size"]))


def _mlp_sizes(config: Config, intermediate_size: int) -> SimpleNamespace:
    return SimpleNamespace(
        hidden_size=config["hidden_size"],
        intermediate_size=intermediate_size,
        mlp_bias=bool(config.get("mlp_bias", False)),
    )


def _bare_shared_layers(network: Any, num_shared: int) -> None:
    """Layers that read the keys and values of another need no projections of their own."""
    for layer in network.layers[len(network.layers) - num_shared :]:
        for name in ("k_proj", "v_proj", "k_norm"):
            layer.self_attn.pop(name, None)


_BY_TYPE: dict[str, Callable[[Any, Config], None]] = {
    "apertus": _correct_apertus,
    "ernie4_5_moe": _correct_ernie,
    "falcon_mamba": _correct_mamba,
    "hunyuan": _correct_hunyuan,
    "jamba": _correct_jamba,
    "mamba": _correct_mamba,
    "mamba2": _correct_mamba,
    "minicpm": _correct_minicpm,
    "minicpm3": _correct_minicpm,
    "olmo": use_plain_norms,
}
