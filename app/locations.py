"""Every path the app uses, one function each. None of them creates anything."""

from pathlib import Path


def library_dir(home: Path) -> Path:
    """The model library: manifests and blobs."""
    return home / "models"


def prefix_dir(home: Path) -> Path:
    """Keys and values of computed prompts, to be found again after a restart."""
    return home / "cache" / "prefixes"


def kernel_checks_file(home: Path) -> Path:
    """What the check of the Metal kernels found on this machine."""
    return home / "cache" / "kernels.json"


def keys_file(home: Path) -> Path:
    """Hashes of the keys that the daemon asks its clients for."""
    return home / "keys.json"


def history_db(home: Path) -> Path:
    """The chats kept by the terminal interface."""
    return home / "history.sqlite3"


def log_dir(home: Path) -> Path:
    """Where daemons and workers write what they report."""
    return home / "logs"


def adapters_dir(home: Path) -> Path:
    """Fine-tuned adapters that were given no directory of their own."""
    return home / "adapters"


def launcher() -> Path:
    """`localllm.py` of this installation: beside `_localllm/`, or at the top of a checkout."""
    packages = Path(__file__).resolve().parents[1]
    return (packages.parent if packages.name == "_localllm" else packages) / "localllm.py"
