"""Writes what was measured into the pages, between two comments that stand there."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DOCS", "write_between"]

DOCS = Path(__file__).parents[1] / "docs"


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text in the place of what stands between two comments of a page; they stay.

    Raises:
        ValueError: the page does not have the comments, in this order.
    """
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} does not have the lines {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
