"""Quality receipts: what `localllm verify` found of a model, kept by the model's digest."""

import json
import os
from pathlib import Path
from typing import Any

from models.errors import StorageError

Receipt = dict[str, Any]


def receipt_path(root: Path, digest: str) -> Path:
    """Where the receipt of the model with this digest is, in a library."""
    return root / "receipts" / f"{digest}.json"


def read_receipt(root: Path, digest: str) -> Receipt | None:
    """The last receipt of exactly these files; None where there is none that can be read."""
    try:
        found = json.loads(receipt_path(root, digest).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_receipt(root: Path, digest: str, receipt: Receipt) -> Path:
    """Keep a receipt, in the place of the one before.

    Raises:
        StorageError: it cannot be written.
    """
    path = receipt_path(root, digest)
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def summarize_receipt(receipt: Receipt) -> str:
    """One line for people."""
    worst = max((each["error"] for each in receipt.get("kernels", {}).values()), default=0.0)
    parts = [str(receipt.get("created", ""))[:10], f"kernels within {worst:.1g}"]
    compared = receipt.get("comparison")
    if compared:
        parts.append(f"KL divergence {compared['kl_mean']:.4g} from {compared['reference']}")
        parts.append(f"perplexity {compared['perplexity']:.4g}")
    return ", ".join(parts)
