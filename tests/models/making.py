"""Puts small models into a library and proves that a library is consistent."""

import json
from collections.abc import Mapping
from pathlib import Path

from models.store.blobs import hash_file
from models.store.library import Library
from models.store.manifest import Format, Layer, Manifest, Role

ROLES: Mapping[str, Role] = {".gguf": "model", ".safetensors": "model", ".json": "config"}


def add_model(library: Library, name: str, files: Mapping[str, bytes]) -> Manifest:
    """Store `files` as the model `name`; its format follows from the file names."""
    stored = {file: library.blobs.write([content]) for file, content in files.items()}
    layers = tuple(
        Layer(ROLES.get(Path(file).suffix, "tokenizer"), digest, size_bytes, file)
        for file, (digest, size_bytes) in stored.items()
    )
    kind: Format = "gguf" if any(file.endswith(".gguf") for file in files) else "mlx"
    return library.write(Manifest(name=name, format=kind, layers=layers))


def check_integrity(library: Library, *, may_orphan: bool = False) -> None:
    """Every name's contents are there and right; nothing else is, unless `may_orphan`."""
    used = set()
    for path in (library.root / "manifests").rglob("*.json"):
        for layer in json.loads(path.read_text())["layers"]:
            blob = library.blobs.path(layer["digest"])
            assert blob.stat().st_size == layer["size_bytes"]
            assert hash_file(blob) == layer["digest"]
            used.add(layer["digest"])
    assert used <= set(library.blobs.digests())
    if not may_orphan:
        assert used == set(library.blobs.digests())
