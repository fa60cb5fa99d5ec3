"""Bytes as text, with a decimal point: what pages, messages and mails share. Pure."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float, whole: float | None = None) -> str:
    """Bytes with their unit ("512 GiB"), in the unit that `whole` would have."""
    power = power_of(count if whole is None else whole)
    return f"{number(count / 1024**power)} {_UNITS[power]}"


def power_of(count: float) -> int:
    """The power of 1024 that is the unit of so many bytes."""
    power = 0
    while count >= 1024 ** (power + 1) and power < len(_UNITS) - 1:
        power += 1
    return power


def number(value: float) -> str:
    """Three significant figures without idle zeros: "1.84", "29.1", "512", "16"."""
    if value >= 100:
        return f"{value:.0f}"
    text = f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".")
