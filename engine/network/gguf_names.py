"""Where each GGUF tensor goes in the network, and how its rows must be put in order."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from engine.network.architectures.architecture import GATE_UP, LAYER, TOP, Architecture
from engine.network.gguf_config import find_architecture
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile

_NOT_WEIGHTS = frozenset(
    {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
)
_WHOLE_PARAMETERS = {
    "attn_sinks.weight": "self_attn.sinks",
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
}
"""Tensors that are parameters without a layer around them, unless an architecture differs."""

_LAYER_NAME = re.compile(r"blk\.(\d+)\.(.+)")


def _log_of_negative(values: mx.array) -> mx.array:
    return mx.log(-values)


_VALUES = {"ssm_a": _log_of_negative}
"""Tensors that hold a function of the parameter, and the way back."""

_LOOSE_SHAPES = frozenset({"ssm_a", "ssm_d", "ssm_norm.weight", "exp_probs_b.bias"})
"""Tensors whose dimensions are cut otherwise than those of the parameter."""


@dataclass(frozen=True)
class Place:
    """The parameter one tensor becomes."""

    path: str
    """In the network, such as "model.layers.0.self_attn.q_proj.weight"."""
    row_order: np.ndarray | None = None
    """int64 [rows]: row i of the parameter is row `row_order[i]` of the tensor. None: as it is."""
    offset: float = 0.0
    """To be added to every value; only norms have one."""
    halves: tuple[str, ...] = ()
    """Where the halves of each matrix's rows go, when `path` is no parameter of the network."""
    value: Callable[[mx.array], mx.array] | None = None
    """From what the tensor holds to the parameter; None where they are the same."""
    has_loose_shape: bool = False
    """The parameter has the same values in the same order, under other dimensions."""

    @property
    def is_plain(self) -> bool:
        """Whether the tensor is one parameter, but for the order of rows and an offset."""
        return self.value is None and not {"*", "|"} & set(self.path)


def module_paths(file: GGUFFile, config: Mapping[str, Any]) -> dict[str, Place]:
    """The place of every tensor that is a weight of the network, by its GGUF name.

    Raises:
        InvalidModelFile: the file has a tensor the architecture does not.
    """
    architecture = Metadata(file.metadata).architecture
    places = {
        name: find_place(name, architecture, config)
        for name in file.tensors
        if name not in _NOT_WEIGHTS
        and not _is_beyond(name, config["num_hidden_layers"])
        and not _is_unused(name, config)
    }
    for name, place in places.items():
        num_rows = file.tensors[name].shape[0]
        if place.row_order is not None and len(place.row_order) != num_rows:
            raise InvalidModelFile(f"{name!r} has {num_rows} rows, not {len(place.row_order)}")
    return places


def _is_beyond(name: str, num_layers: int) -> bool:
    """Layers that predict further tokens stand behind those of the network."""
    match = _LAYER_NAME.fullmatch(name)
    return match is not None and int(match[1]) >= num_layers


def _is_unused(name: str, config: Mapping[str, Any]) -> bool:
    """Keys and values of layers that read those of another."""
    match = _LAYER_NAME.fullmatch(name)
    if match is None or not config.get("has_bare_shared_layers"):
        return False
    first = config["num_hidden_layers"] - config["num_kv_shared_layers"]
    return int(match[1]) >= first and match[2].startswith(("attn_k", "attn_v"))


def find_place(name: str, architecture: str, config: Mapping[str, Any]) -> Place:
    """The place of the tensor `name`.

    Raises:
        InvalidModelFile: the architecture has no such tensor.
    """
    found = find_architecture(architecture)
    path = _path(name, architecture, found)
    is_shifted = found.adds_one_to_norms and name.endswith("norm.weight")
    halves: tuple[str, ...] = ()
    if GATE_UP in path and ".ffn_gate_up_exps." in name:
        halves = tuple(path.replace(GATE_UP, part) for part in ("gate_proj", "up_proj"))
    elif "|" in path:
        first, _, second = path.rpartition(".")[0].rpartition(".")[2].partition("|")
        halves = tuple(path.replace(f"{first}|{second}", part) for part in (first, second))
    local = name.split(".", 2)[-1]
    return Place(
        path,
        found.row_order(path, config) if found.row_order else None,
        offset=-1.0 if is_shifted else 0.0,
        halves=halves,
        value=_VALUES.get(local),
        has_loose_shape=local in _LOOSE_SHAPES,
    )


def tensor_name(path: str, architecture: str) -> str:
    """The tensor that becomes the parameter at `path`: the way back of `find_place`.

    Raises:
        Unsupported: GGUF has no name for it.
    """
    found = find_architecture(architecture)
    match = re.fullmatch(rf"{re.escape(found.layers)}\.(\d+)\.(.+)", path)
    module, _, kind = (match[2] if match else path).rpartition(".")
    names = {place: name for name, place in (TOP | dict(found.top)).items()}
    if match:
        listed = [*LAYER.items(), *found.names.items()]
        names = {place: name for name, place in listed}
        whole = {place: name for name, place in (_WHOLE_PARAMETERS | dict(found.whole)).items()}
        if match[2] in whole:
            return f"blk.{match[1]}.{whole[match[2]]}"
    if module not in names or kind not in ("weight", "bias"):
        raise Unsupported(f"GGUF has no name for {path!r} in a {architecture} model")
    return f"blk.{match[1]}.{names[module]}.{kind}" if match else f"{names[module]}.{kind}"


def _path(name: str, architecture: str, found: Architecture) -> str:
    match = _LAYER_NAME.fullmatch(name)
    whole = _WHOLE_PARAMETERS | dict(found.whole)
    if match and match[2] in whole:
        return f"{found.layers}.{int(match[1])}.{whole[match[2]]}"
    if not match and name in found.whole:
        return found.whole[name]
    stem, _, kind = (match[2] if match else name).rpartition(".")
    names = LAYER | dict(found.names) if match else TOP | dict(found.top)
    path = names.get(stem)
    if path is None or kind not in ("weight", "bias"):
        raise InvalidModelFile(f"the tensor {name!r} is not known in a {architecture} model")
    return f"{found.layers}.{int(match[1])}.{path}.{kind}" if match else f"{path}.{kind}"
