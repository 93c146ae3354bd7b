"""Results for people: a table of text, and tables for the page on performance."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from tests.bench.catalog import Source
from tests.bench.results import Part, Results, RowResult
from tests.bench.runner import ROOT
from tests.bench.summary import Spread
from tests.pages import write_between

__all__ = [
    "BEGIN",
    "CLUSTER_BEGIN",
    "CLUSTER_END",
    "CROWD_BEGIN",
    "CROWD_END",
    "END",
    "PAGE",
    "as_markdown",
    "as_text",
    "between",
    "update_page",
]

PAGE = ROOT / "docs" / "performance.md"
BEGIN = "<!-- figures: written by python -m tests.bench --update-docs, not by hand -->"
END = "<!-- end of figures -->"
CLUSTER_BEGIN = "<!-- cluster figures: written by python -m tests.bench --update-docs, not by hand -->"
CLUSTER_END = "<!-- end of cluster figures -->"
CROWD_BEGIN = "<!-- figures of many clients: written by python -m tests.bench --update-docs, not by hand -->"
CROWD_END = "<!-- end of figures of many clients -->"
HEADINGS = ("", "casty_trio", "limit", "of the limit", "promised", "to pykka", "to xoscar")
NOTHING = "-"


def figure(value: float, unit: str) -> str:
    """A number as short as its noise allows.

    Example:
        >>> figure(123_456.0, "/s"), figure(1_234.0, "/s"), figure(4.853, "KiB"), figure(3.14159, "s")
        ('123 k', '1.23 k', '4.85', '3.14')
    """
    if unit != "/s":
        return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
    digits = 0 if value >= 100_000 else 1 if value >= 10_000 else 2
    return f"{value / 1000:.{digits}f} k"


def with_spread(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return NOTHING
    low, high = figure(spread.low, unit).removesuffix(" k"), figure(spread.high, unit).removesuffix(" k")
    return f"{figure(spread.median, unit)}{unit if unit == '/s' else ' ' + unit} ({low}..{high})"


def of_limit(row: RowResult) -> str:
    ratio = row.ratio("limit")
    if ratio is None:
        return NOTHING
    return f"{ratio.of_medians:.2f} ({ratio.paired.low:.2f}..{ratio.paired.median:.2f}..{ratio.paired.high:.2f})"


def promised(row: RowResult) -> str:
    if row.goal is None:
        return NOTHING
    return f"{'at most' if row.unit != '/s' else 'at least'} {row.goal:.2f}"


def to_peer(row: RowResult, peer: Source) -> str:
    ratio = row.ratio(peer)
    return NOTHING if ratio is None else f"{ratio.of_medians:.{1 if ratio.of_medians >= 1 else 2}f} ×"  # noqa: RUF001


def cells(row: RowResult) -> tuple[str, ...]:
    return (
        row.title,
        with_spread(row.spread("casty_trio"), row.unit),
        with_spread(row.spread("limit"), row.unit),
        of_limit(row),
        promised(row),
        to_peer(row, "pykka"),
        to_peer(row, "xoscar"),
    )


def where(results: Results) -> str:
    """Python, machine and versions, and how busy others kept it, in a line."""
    machine = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    return (
        f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores ({machine['processor']}), "
        f"load {machine['load'][0]:.1f} at the start, "
        f"{results.rounds} rounds on {results.when[:10]}; {packages}"
    )


def remarks(results: Results) -> list[str]:
    """What is missing, and why; and what is not as promised."""
    found = [] if results.has_limits else ["The limits are not there (see CASTY_LIMITS): no ratios to them."]
    found += [f"{peer} is not installed." for peer in ("pykka", "xoscar") if not results.machine["packages"][peer]]
    failed = chain.from_iterable(
        ((source, reason, row.name) for source, reason in row.failures.items()) for row in results.rows
    )
    found += [f"{name}: {source} failed: {reason}" for source, reason, name in failed]
    found += [f"{row.name}: not as promised in this run." for row in results.rows if row.reached is False]
    return found


def as_text(results: Results) -> str:
    """The run as a table of text, with remarks below it."""
    table = [HEADINGS, *map(cells, results.rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([where(results), "", *lines, "", *remarks(results)]).rstrip()


def as_markdown(results: Results, columns: int = len(HEADINGS)) -> str:
    """The run as a table for a page, or its first columns; rows without figures are left out."""
    rows = [row for row in results.rows if row.series.get("casty_trio")]
    table = [line[:columns] for line in (HEADINGS, ("---",) * len(HEADINGS), *map(cells, rows))]
    return "\n".join([f"{where(results)}.", "", *(f"| {' | '.join(line)} |" for line in table)])


def between(runs: Sequence[Results]) -> str:
    """The comments, and the tables between them."""
    return "\n\n".join([BEGIN, *map(as_markdown, runs), END])


def update_page(page: Path, runs: Sequence[Results], part: Part = "python") -> None:
    """Put the tables of some runs between the two comments of a part of the page.

    Raises:
        ValueError: the page does not have the comments, once each and in order.
    """
    if part == "python":
        write_between(page, BEGIN, END, "\n\n".join(map(as_markdown, runs)))
    else:
        begin, end = (CLUSTER_BEGIN, CLUSTER_END) if part == "cluster" else (CROWD_BEGIN, CROWD_END)
        write_between(page, begin, end, "\n\n".join(as_markdown(run, columns=2) for run in runs))
