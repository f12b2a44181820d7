"""Writes docs/roofline.md: what memory bandwidth allows each chip, computed and not measured.

    python scripts/roofline.py [--check]

Bandwidths are those of `models/chips.py`, bytes those of `roofline_parts/models.py`, launches are
counted in MLX's graph of our own decode step.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from models.chips import CHIPS, Chip  # noqa: E402
from scripts.roofline_parts.launches import launches_per_token  # noqa: E402
from scripts.roofline_parts.models import MIX, MODELS, Model  # noqa: E402
from scripts.roofline_parts.published import PUBLISHED, Figure  # noqa: E402

PAGE = ROOT / "docs" / "roofline.md"
CONTEXT, SHORT_CONTEXT = 4096, 512
NUM_SPLITS = 16
SHARE = 0.75
"""Of the bandwidth, which our kernels are held to where one can be measured."""
USABLE_MEMORY = 0.75
"""Of a machine's memory, what its GPU may take without a setting being changed."""


def make_page() -> str:
    """The whole page."""
    sections = (_bytes_section(), _speed_section(), _published_section())
    title = "# Roofline: what the memory allows"
    return "\n\n".join([title, INTRODUCTION, *("\n".join(section) for section in sections)]) + "\n"


INTRODUCTION = """\
**Computed, not measured.** We have no Mac. A token reads every weight it uses once, so its time is
at least its bytes over the chip's published bandwidth. `scripts/roofline.py` writes this page; a
test keeps the two equal."""

BYTES = f"""\
## Bytes and launches per token

Weights as in a {MIX} file, keys and values in float16, {CONTEXT} tokens of context, one sequence.
The quantized products read the weights, paged attention the keys and values; the rest is what
launches hand each other, two fifths of it attention's partial sums. Counted on the simulator, our
kernels stay within 1.03 (products) and 1.05 (attention) of these bytes.
"""

LAUNCHES = """
Launches are the operations of MLX's graph of our decode step that need a kernel. What one costs
beyond its bytes is unknown to us and in none of these figures: a microsecond each takes a twelfth
of the 1B model's speed on an M4 Max, and nothing that matters of the 70B's. The mixture's bytes are
those of the experts a token uses, which are all that its kernel reads."""

SPEED = f"""\
## Expected tokens per second

One sequence at {CONTEXT} tokens, at {SHARE:.0%} of the published bandwidth, the bar our kernels are
held to; the ceiling is {1 / SHARE:.2f} times that. A dash: the model and its cache exceed
{USABLE_MEMORY:.0%} of the largest memory the chip is sold with.
"""

BESIDE = f"""\
## Beside what others publish

Their figures, one stream, short contexts. The ceiling is the chip's bandwidth over the bytes of
their format (4-bit MLX or {MIX}) with {SHORT_CONTEXT} tokens of context. Expected is {SHARE:.0%} of
the ceiling of {MIX}: what we should reach.
"""


def _bytes_section() -> Iterator[str]:
    yield BYTES
    rows = [
        (
            model.name,
            f"{model.file_bytes / 1e9:.2f}",
            f"{model.weight_bytes / 1e6:.0f}",
            f"{model.kv_bytes(CONTEXT) / 1e6:.0f}",
            f"{model.activation_bytes(NUM_SPLITS) / 1e6:.0f}",
            str(launches_per_token(model, CONTEXT)),
        )
        for model in MODELS
    ]
    header = ("model", "file GB", "products MB", "attention MB", "rest MB", "launches")
    yield from _table(header, rows)
    yield LAUNCHES


def _speed_section() -> Iterator[str]:
    yield SPEED
    rows = [
        (chip.name, f"{chip.bandwidth_gb_s:g}", *(_expected(chip, model) for model in MODELS))
        for chip in CHIPS
    ]
    yield from _table(("chip", "GB/s", *(model.name for model in MODELS)), rows)


def _expected(chip: Chip, model: Model) -> str:
    needed = model.file_bytes + model.kv_bytes(CONTEXT)
    if needed > USABLE_MEMORY * (max(chip.memory_sizes_gb) << 30):
        return "-"
    moved = model.weight_bytes + model.kv_bytes(CONTEXT) + model.activation_bytes(NUM_SPLITS)
    return f"{SHARE * chip.bandwidth_gb_s * 1e9 / moved:.3g}"


def _published_section() -> Iterator[str]:
    yield BESIDE
    header = ("chip", "model", "program", "published", "its ceiling", "share", "expected", "source")
    yield from _table(header, [_comparison(figure) for figure in PUBLISHED])


def _comparison(figure: Figure) -> tuple[str, ...]:
    chip = next(chip for chip in CHIPS if chip.name == figure.chip)
    model = next(model for model in MODELS if model.name == figure.model)
    rest = model.kv_bytes(SHORT_CONTEXT) + model.activation_bytes(1)
    bandwidth = chip.bandwidth_gb_s * 1e9
    theirs = model.mlx_weight_bytes if figure.is_mlx_format else model.weight_bytes
    ceiling = bandwidth / (theirs + rest)
    return (
        figure.chip,
        figure.model,
        figure.program,
        f"{figure.tokens_s:g}",
        f"{ceiling:.3g}",
        f"{figure.tokens_s / ceiling:.0%}",
        f"{SHARE * bandwidth / (model.weight_bytes + rest):.3g}",
        figure.source,
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main() -> None:
    """Write the page, or with `--check` end with 1 when it would change."""
    page = make_page()
    if sys.argv[1:] == ["--check"]:
        sys.exit("docs/roofline.md is stale: run `make docs`" if PAGE.read_text() != page else 0)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
