"""Mixtures of experts as Hugging Face stores them: a matrix for each expert, not one stack."""

from collections.abc import Iterator, Sequence
from functools import partial

import mlx.core as mx

from engine.conversion.parameters import Parameter

_PLAIN = {"gate_proj": "gate_proj", "up_proj": "up_proj", "down_proj": "down_proj"}
EXPERT_NAMES = {
    "mixtral": {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"},
    "olmoe": _PLAIN,
    "qwen2_moe": _PLAIN,
    "qwen3_moe": _PLAIN,
}
"""What a family calls the three matrices of an expert."""

_STACK = ".switch_mlp."


def split_experts(parameters: Sequence[Parameter], model_type: str) -> list[Parameter]:
    """The same with every stack in its parts, which must be read in this order."""
    names = EXPERT_NAMES.get(model_type, {})
    found: list[Parameter] = []
    for parameter in parameters:
        if len(parameter.shape) < 3 or _STACK not in parameter.path:
            found.append(parameter)
            continue
        before, _, after = parameter.path.partition(_STACK)
        part, _, kind = after.partition(".")
        num_experts, *shape = parameter.shape
        rows = _Rows(parameter)
        found += [
            Parameter(
                f"{before}.experts.{index}.{names[part]}.{kind}",
                tuple(shape),
                parameter.stored,
                partial(rows.take, shape[0]),
            )
            for index in range(num_experts)
        ]
    return found


class _Rows:
    """The rows of a stack, handed out as they come."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._slabs: Iterator[mx.array] | None = None
        self._rest = mx.zeros((0, parameter.shape[-1]))

    def take(self, num_rows: int) -> Iterator[mx.array]:
        """The next `num_rows`."""
        if self._slabs is None:
            self._slabs = self._parameter.read()
        while num_rows:
            if not self._rest.shape[0]:
                self._rest = next(self._slabs)
            part, self._rest = self._rest[:num_rows], self._rest[num_rows:]
            num_rows -= part.shape[0]
            yield part
