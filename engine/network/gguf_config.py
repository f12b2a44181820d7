"""A GGUF file's metadata as the configuration that mlx-lm's network classes are built from."""

from engine.network.architectures import deepseek, dense, experts, hybrid
from engine.network.architectures.common import Config, Family
from engine.network.gguf_values import Metadata
from models.errors import Unsupported
from models.gguf import GGUFFile

FAMILIES: dict[str, Family] = {
    **dense.FAMILIES,
    **experts.FAMILIES,
    **deepseek.FAMILIES,
    **hybrid.FAMILIES,
}


def config_from_gguf(file: GGUFFile) -> Config:
    """An mlx-lm configuration, "model_type" included.

    Raises:
        Unsupported: the architecture is not known; the message names it and the known ones.
        InvalidModelFile: a value the architecture needs is missing.
    """
    metadata = Metadata(file.metadata)
    family = FAMILIES.get(metadata.architecture)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise Unsupported(
            f"the architecture {metadata.architecture!r} is not known; known are {known}"
        )
    return family(file, metadata)
