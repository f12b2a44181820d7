"""A curve drawn with characters."""

from itertools import pairwise


def draw_curve(losses: list[float], *, width: int = 64, height: int = 10) -> list[str]:
    """The losses as lines of text, oldest at the left; each column is the mean of its share.

    >>> draw_curve([4.0, 2.0, 1.0], width=3, height=2)
    ['4.00 ┤█  ', '1.00 ┤█▆▁']
    """
    width = min(width, len(losses))
    bounds = [len(losses) * i // width for i in range(width + 1)]
    means = [sum(losses[a:b]) / (b - a) for a, b in pairwise(bounds)]
    high, low = max(means), min(means)
    eighths = [round(1 + (mean - low) / ((high - low) or 1) * (8 * height - 1)) for mean in means]
    lines = []
    for row in reversed(range(height)):
        label = high if row == height - 1 else low if row == 0 else None
        cells = "".join(" ▁▂▃▄▅▆▇█"[max(0, min(8, eighth - 8 * row))] for eighth in eighths)
        lines.append(f"{'' if label is None else format(label, '.2f'):>4} ┤{cells}")
    return lines
