"""Reads a model's files to the end and compares them with what the library calls them."""

import hashlib
import re
from pathlib import Path

from models.errors import InvalidModelFile, StorageError
from models.files import ModelFiles

_BLOB_NAME = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_PIECE_BYTES = 1 << 20


def check_hashes(files: ModelFiles) -> list[dict[str, str]]:
    """For each file of weights its name, SHA-256, and whether that is the name it is kept under.

    Raises:
        InvalidModelFile: a blob's content is not what its name says.
        StorageError: a file cannot be read.
    """
    paths = files.paths
    if files.directory is not None:
        paths = tuple(sorted(files.directory.glob("*.safetensors")))
    found = []
    for path in paths:
        digest = _sha256(path)
        named = _BLOB_NAME.fullmatch(path.resolve().name)
        if named and named[1] != digest:
            raise InvalidModelFile(
                f"{path}: its content has the SHA-256 {digest}, its name says {named[1]}",
                hint="Remove the model with `localllm rm` and pull it again.",
            )
        state = "as the library knows it" if named else "no digest to compare with"
        found.append({"file": path.name, "sha256": digest, "state": state})
    return found


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                hasher.update(piece)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    return hasher.hexdigest()
