"""Builds the model stores of other programs as those programs lay them out."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_IMAGE = "application/vnd.ollama.image."


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def add_cached_repo(
    root: Path, repo: str, files: Mapping[str, bytes], *, commit: str = COMMIT, ref: bool = True
) -> Path:
    """A repository in the Hugging Face cache `root`; the directory of its snapshot."""
    folder = root / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        is_large = name.endswith((".gguf", ".safetensors"))
        etag = sha256(content) if is_large else hashlib.sha1(content).hexdigest()
        (folder / "blobs" / etag).write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (2 + name.count("/"))
        link.symlink_to(f"{up}blobs/{etag}")
    if ref:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
    return snapshot


def add_ollama_model(
    root: Path,
    name: str,
    layers: Mapping[str, bytes],
    *,
    host: str = "registry.ollama.ai",
    separator: str = "-",
) -> Path:
    """A model in Ollama's store `root`; `name` is namespace/model:tag. The manifest's path."""
    (root / "blobs").mkdir(parents=True, exist_ok=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = sha256(content)
        (root / "blobs" / f"sha256{separator}{digest}").write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    config = json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": put("application/vnd.docker.container.image.v1+json", config),
        "layers": [put(_IMAGE + kind.partition("#")[0], raw) for kind, raw in layers.items()],
    }
    path_name, _, tag = name.partition(":")
    path = root / "manifests" / host / path_name / tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))
    return path


def add_lm_studio_model(root: Path, repo: str, files: Mapping[str, bytes]) -> Path:
    """A model in LM Studio's folder `root`."""
    folder = root / repo
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
