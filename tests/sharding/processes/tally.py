"""What many steps say together: how many asks failed, how long entities took to answer again, and the table for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.pages import DOCS, write_between

__all__ = ["BEGIN", "END", "KINDS", "PAGE", "RESTART", "Tally", "update_page"]

PAGE: Final = DOCS / "reliability.md"
BEGIN: Final = "<!-- entities: written by python -m tests.sharding.processes --update-docs, not by hand -->"
END: Final = "<!-- end of entities -->"
RESTART: Final = "rolling restart"
KINDS: Final = (RESTART, "kill an owner", "kill the oldest")


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
        """What was never done."""
        return [kind for kind in KINDS if not self._of(kind)] if self.lines else []

    def _of(self, kind: str) -> list[dict[str, float]]:
        """The figures of the steps of a kind that went well."""
        return [line["figures"] for line in self.lines if line["kind"] == kind and line["failure"] is None]

    def sentences(self) -> Iterator[str]:
        """What was done, in words."""
        yield f"{len(self.lines)} steps, {len(self.failed)} failed"
        restarts = self._of(RESTART)
        if restarts:
            asks = sum(int(figures["asks"]) for figures in restarts)
            failed = sum(int(figures["failed"]) for figures in restarts)
            longest = max(figures["longest"] for figures in restarts)
            yield f"{len(restarts)} rolling restarts: {failed} of {asks} asks failed; the longest took {longest:.2f} s"

    def table(self) -> Iterator[str]:
        """Each crash, with how long its entities took to answer again."""
        yield "| | times | entities hit | answer again after: p50 | p99 | max | the others: max |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for kind in KINDS[1:]:
            found = self._of(kind)
            if not found:
                yield f"| {kind} | 0 | - | - | - | - | - |"
                continue
            worst = [f"{max(figures[key] for figures in found):.2f} s" for key in ("p50", "p99", "max", "spared")]
            hit = sum(int(figures["hit"]) for figures in found)
            yield f"| {kind} | {len(found)} | {hit} | {' | '.join(worst)} |"


def update_page(page: Path, tally: Tally, where: str) -> None:
    """Put the table into the page."""
    sentences = [f"- {sentence}" for sentence in tally.sentences()]
    write_between(page, BEGIN, END, "\n".join([f"{where}.", "", *sentences, "", *tally.table()]))
