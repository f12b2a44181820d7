"""Sizes in bytes as people read them."""


def format_bytes(num_bytes: float) -> str:
    """Three digits and a decimal unit.

    >>> format_bytes(4_920_000_000), format_bytes(37), format_bytes(12_300_000)
    ('4.92 GB', '37 B', '12.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"
