"""The command `localllm`: finds the product's packages and hands over to `app.cli`.

Installed, the packages live in `_localllm/` beside this file, so that neither a PYTHONPATH with
someone else's `app/` nor another distribution's `models/` can take their place.
"""

import sys
from pathlib import Path

__version__ = "0.1.0"

_here = Path(__file__).resolve().parent
_installed = _here / "_localllm"
sys.path.insert(0, str(_installed if _installed.is_dir() else _here))


def main() -> None:
    """Run the command line."""
    from app.cli import main as run_cli

    run_cli()


if __name__ == "__main__":
    main()
