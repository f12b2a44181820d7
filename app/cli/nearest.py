"""The name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`: the same start wins, then likeness.

    >>> nearest("--temprature", ["--temperature", "--seed"])
    '--temperature'
    >>> nearest("--max", ["--max-tokens", "--seed"])
    '--max-tokens'
    >>> nearest("--colour", ["--seed"]) is None
    True
    """
    names = sorted(known)
    wanted = name.lower().replace("_", "-")
    starts = [other for other in names if len(wanted) > 3 and other.startswith(wanted)]
    matches = starts or get_close_matches(wanted, names, n=1)
    return matches[0] if matches else None
