"""A GGUF file's metadata as the configuration that mlx-lm's network classes are built from."""

from engine.network.architectures import (
    deepseek,
    dense,
    experts,
    gated_delta,
    gemma,
    hybrid,
    layer_normed,
    recurrent,
)
from engine.network.architectures.architecture import Architecture, Config
from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile, Unsupported
from models.formats.gguf import GGUFFile

ARCHITECTURES: dict[str, Architecture] = {
    **dense.ARCHITECTURES,
    **layer_normed.ARCHITECTURES,
    **gemma.ARCHITECTURES,
    **experts.ARCHITECTURES,
    **deepseek.ARCHITECTURES,
    **hybrid.ARCHITECTURES,
    **recurrent.ARCHITECTURES,
    **gated_delta.ARCHITECTURES,
}


def find_architecture(name: str) -> Architecture:
    """Raises Unsupported, with the known ones, for an architecture that is not known."""
    found = ARCHITECTURES.get(name)
    if found is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise Unsupported(f"the architecture {name!r} is not known; known are {known}")
    return found


def config_from_gguf(file: GGUFFile) -> Config:
    """An mlx-lm configuration, "model_type" included.

    Raises:
        Unsupported: the architecture is not known; the message names it and the known ones.
        InvalidModelFile: a value the architecture needs is missing, or makes no sense.
    """
    metadata = Metadata(file.metadata)
    architecture = find_architecture(metadata.architecture)
    try:
        return architecture.make_config(file, metadata)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise InvalidModelFile(f"the sizes that the GGUF file names do not fit: {error}") from error
