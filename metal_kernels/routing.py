"""The ways of choosing experts that architectures have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Routing:
    """How a router's logits become chosen experts and their weights."""

    num_chosen: int
    sigmoid: bool = False
    """Scores are the sigmoid of each logit; else the softmax over all."""
    normalised: bool = False
    """The weights of the chosen ones sum to one (before `scale`)."""
    scale: float = 1.0
    num_groups: int = 1
    num_chosen_groups: int = 1
    """Experts outside the best groups count as zero."""
    group_by_two: bool = False
    """A group counts as its two best scores together; else as its best."""
