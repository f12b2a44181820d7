"""Which files make up a GGUF model that was split: a matter of names only."""

import re
from pathlib import Path

from models.errors import InvalidModelFile, NotFound

_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_MAX_SHARDS = 10_000


def find_shards(path: Path) -> tuple[Path, ...]:
    """All files of the model that `path` belongs to, in order; `(path,)` when it stands alone.

    Raises:
        NotFound: `path` or a sibling that its name announces is missing.
        InvalidModelFile: the numbers in its name make no sense.
    """
    match = _SHARD_NAME.fullmatch(path.name)
    if match is None:
        if not path.exists():
            raise NotFound(f"{path}: no such file", hint="See `localllm list` for library names.")
        return (path,)
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count <= _MAX_SHARDS:
        raise InvalidModelFile(f"{path}: shard {number} of {count} does not exist")
    shards = tuple(
        path.with_name(f"{match['stem']}-{index:05d}-of-{count:05d}.gguf")
        for index in range(1, count + 1)
    )
    missing = [shard.name for shard in shards if not shard.exists()]
    if missing:
        raise NotFound(
            f"{path.parent}: {len(missing)} of {count} shards missing: {', '.join(missing[:3])}",
            hint="Put all shards of the model into one directory.",
        )
    return shards
