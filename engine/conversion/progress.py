"""What a conversion says while it works."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TensorDone:
    """Told after each tensor."""

    name: str
    number: int
    """From 1."""
    num_tensors: int
    before: str
    after: str
    """Formats."""
    num_bytes: int
    """In the new file."""


OnTensor = Callable[[TensorDone], None]
