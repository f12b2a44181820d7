"""The model that comes with the product: always in the library, read-only, no network needed."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from models.errors import InvalidModelFile
from models.name import ModelName
from models.store.disk import write_whole
from models.store.manifest import Layer, Manifest, format_manifest, parse_manifest

BUNDLED_NAME = ModelName.parse("pocket")
BUNDLED_PARAMETERS = {"temperature": 0.0}
"""So small a model is rarely right with anything but its likeliest token."""
BUNDLED_PATH = Path(__file__).resolve().parent / "pocket" / "pocket.gguf"


def read_bundled(path: Path, cache: Path) -> Manifest | None:
    """The manifest of the GGUF file `path`, or None when it is not there.

    Digest and details are worked out once per file (by size and time) and kept in `cache`; where
    that cannot be written they are worked out each time.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    stamp = f"{path}|{status.st_size}|{status.st_mtime_ns}"
    known = _read_cache(cache, stamp)
    if known is not None:
        return known
    manifest = _describe(path, status.st_size, status.st_mtime)
    try:
        write_whole(cache, json.dumps({"stamp": stamp, "manifest": format_manifest(manifest)}))
    except OSError:
        return manifest
    return manifest


def _read_cache(cache: Path, stamp: str) -> Manifest | None:
    try:
        stored = json.loads(cache.read_text(encoding="utf-8"))
        if stored["stamp"] == stamp:
            return parse_manifest(stored["manifest"], str(cache))
    except (OSError, ValueError, KeyError, TypeError, InvalidModelFile):
        return None
    return None


def _describe(path: Path, size_bytes: int, modified_s: float) -> Manifest:
    from models.details import summarize
    from models.files import ModelFiles
    from models.store.blobs import hash_file

    layer = Layer("model", hash_file(path), size_bytes, path.name)
    manifest = Manifest(
        name=BUNDLED_NAME.display,
        format="gguf",
        layers=(layer,),
        created=datetime.fromtimestamp(modified_s, UTC),
    )
    files = ModelFiles(BUNDLED_NAME.display, "gguf", (path,), None, manifest.digest)
    return replace(manifest, details=summarize(files))
