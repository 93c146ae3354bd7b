"""What many steps of chaos say together: counts, the middle and the worst of the figures, and the table for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.cluster.chaos.rounds import KINDS
from tests.pages import DOCS, write_between

__all__ = ["BEGIN", "END", "PAGE", "Tally", "update_page"]

PAGE: Final = DOCS / "reliability.md"
BEGIN: Final = "<!-- processes: written by python -m tests.cluster.chaos --update-docs, not by hand -->"
END: Final = "<!-- end of processes -->"

AGREED: Final = ("agreed", "removed")
"""How long those that were left alone took to agree."""
WHOLE: Final = ("joined", "healed")
"""How long it took until all were one cluster again."""
ENOUGH: Final = 4
"""So many rounds have at least two whole ones in them, which do everything."""


class Tally:
    """What some lines say together."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self.lines: list[dict[str, Any]] = list(lines)

    @property
    def rounds(self) -> int:
        """The number of the last one."""
        return max((line["round"] for line in self.lines), default=0)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The steps that went wrong."""
        return [line for line in self.lines if line["failure"] is not None]

    @property
    def missing(self) -> list[str]:
        """What was never done, though there was time for everything."""
        return [kind for kind in KINDS if not self._of(kind)] if self.rounds >= ENOUGH else []

    @property
    def minutes(self) -> float:
        """How long all steps took."""
        return sum(float(line["seconds"]) for line in self.lines) / 60

    def figures(self, names: Sequence[str], kind: str = "") -> list[float]:
        """The figures of these names, of one kind of steps or of all."""
        found = (line["figures"] for line in (self._of(kind) if kind else self.lines))
        return [figures[name] for figures in found for name in names if name in figures]

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == kind]

    def sentences(self) -> Iterator[str]:
        """What was done, and what was worst, in words."""
        yield f"{len(self.lines)} steps in {self.minutes:.1f} minutes, {len(self.failed)} failed"
        forming = [max(found) for kind in KINDS if kind.startswith("form") and (found := self.figures(("agreed",), kind))]
        if forming:
            yield f"worst agreement after the last start of five: {max(forming):.2f} s"
        removed, whole, margin = self.figures(("removed",)), self.figures(WHOLE), self.figures(("margin",))
        if removed:
            yield f"worst agreement after a crash or a cut: {max(removed):.2f} s"
        if whole:
            yield f"worst time until all were one cluster again: {max(whole):.2f} s"
        if margin:
            yield f"a minority had stopped {min(margin):.2f} s or more before the majority removed it"

    def table(self) -> Iterator[str]:
        """Each kind of steps, with its figures."""
        yield "| | times | the rest agreed after: median, worst | one cluster again after: median, worst |"
        yield "| --- | --- | --- | --- |"
        for kind in KINDS:
            cells = [spread(self.figures(names, kind)) for names in (AGREED, WHOLE)]
            yield f"| {kind} | {len(self._of(kind))} | {' | '.join(cells)} |"


def spread(figures: Sequence[float]) -> str:
    """The middle and the worst.

    Example:
        >>> spread([1.0, 2.0, 9.0]), spread([])
        ('2.00 s, 9.00 s', '-')
    """
    return f"{median(figures):.2f} s, {max(figures):.2f} s" if figures else "-"


def update_page(page: Path, tally: Tally, where: str) -> None:
    """Put the table into the page."""
    sentences = [f"- {sentence}" for sentence in tally.sentences()]
    write_between(page, BEGIN, END, "\n".join([f"{where}.", "", *sentences, "", *tally.table()]))
