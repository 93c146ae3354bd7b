"""The results of a run as values, to JSON and back. What can be computed from the rounds is written, but not read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tests.bench.catalog import CLUSTER_ROWS, CROWD_ROWS, Row, Source
from tests.bench.runner import Measured
from tests.bench.summary import Ratio, Spread, ratio, spread

__all__ = ["KEPT", "Part", "Results", "RowResult", "collect", "keep", "kept_runs", "load", "save"]

KEPT = Path(__file__).parent / "runs"
"""The runs that the page on performance shows, one for each Python and part of the page."""

Part = Literal["python", "cluster", "crowd"]
"""What is compared with bare programs and peers; what a cluster costs; and what many clients do."""


@dataclass(frozen=True)
class RowResult:
    """One row: the figures of each round, by who was measured, and why some are missing."""

    name: str
    title: str
    unit: str
    goal: float | None
    series: Mapping[Source, Sequence[float]]
    failures: Mapping[Source, str]

    def spread(self, source: Source) -> Spread | None:
        """Median and ends; None when it was not measured."""
        figures = self.series.get(source)
        return spread(figures) if figures else None

    def ratio(self, source: Source) -> Ratio | None:
        """What we reach, of what ``source`` reaches; None when one of the two was not measured."""
        ours, base = self.series.get("casty_trio"), self.series.get(source)
        return ratio(ours, base) if ours and base else None

    @property
    def reached(self) -> bool | None:
        """Whether the ratio to the limit is as promised; None when there is no promise or no ratio."""
        to_limit = self.ratio("limit")
        if self.goal is None or to_limit is None:
            return None
        return to_limit.of_medians <= self.goal if self.unit != "/s" else to_limit.of_medians >= self.goal


@dataclass(frozen=True)
class Results:
    """One run on one Python: where, when, how often, and its rows."""

    when: str
    machine: Mapping[str, Any]
    rounds: int
    has_limits: bool
    rows: Sequence[RowResult]


def collect(row: Row, measured: Measured) -> RowResult:
    """Put together what the programs of a row gave."""
    series: dict[Source, Sequence[float]] = {}
    failures: dict[Source, str] = {}
    for source, figure in row.figures.items():
        if figure.program in measured.failures:
            failures[source] = measured.failures[figure.program]
        elif figures := measured.series(figure.program, figure.key):
            series[source] = figures
        elif figure.program in measured.figures:
            failures[source] = f"{figure.program.name} does not print {figure.key}"
    return RowResult(row.name, row.title, row.unit, row.goal, series, failures)


def save(results: Results, path: Path) -> None:
    """Write a run as JSON, with medians, spreads and ratios."""
    document = asdict(results)
    for row, written in zip(results.rows, document["rows"], strict=True):
        others = [source for source in row.series if source != "casty_trio"]
        written["spreads"] = {source: asdict(spread(figures)) for source, figures in row.series.items()}
        written["ratios"] = {source: asdict(to_it) for source in others if (to_it := row.ratio(source))}
        written["reached"] = row.reached
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Read a run back."""
    document = json.loads(path.read_text(encoding="utf-8"))
    names = ("name", "title", "unit", "goal", "series", "failures")
    rows = [RowResult(**{name: row[name] for name in names}) for row in document.pop("rows")]
    return Results(**document, rows=rows)


def kept_runs(part: Part = "python") -> list[Results]:
    """The runs that a part of the page shows, newest Python first."""
    return [load(path) for path in sorted(KEPT.glob(f"{part}-*.json"), reverse=True)]


def keep(run: Results) -> list[Part]:
    """Keep a run in the place of the one with that Python; which parts of it there were."""
    parts: dict[str, Part] = dict.fromkeys((row.name for row in CLUSTER_ROWS), "cluster")
    parts.update(dict.fromkeys((row.name for row in CROWD_ROWS), "crowd"))
    rows: dict[Part, list[RowResult]] = {"python": [], "cluster": [], "crowd": []}
    for row in run.rows:
        rows[parts.get(row.name, "python")].append(row)
    version = ".".join(run.machine["python"].split(".")[:2])
    kept = [part for part in rows if rows[part]]
    for part in kept:
        save(replace(run, rows=rows[part]), KEPT / f"{part}-{version}.json")
    return kept
