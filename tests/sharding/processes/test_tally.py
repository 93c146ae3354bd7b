"""How restarts and crashes under load are counted, and written down; no process is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sharding.processes import __main__ as session
from tests.sharding.processes.front import percentile
from tests.sharding.processes.tally import BEGIN, END, KINDS, PAGE, RESTART, Tally
from tests.slices import keep


def line(number: int, kind: str, figures: dict[str, float], failure: str | None = None) -> dict[str, Any]:
    return {"round": number, "kind": kind, "figures": figures, "failure": failure}


CRASH = {"hit": 2_000.0, "p50": 9.0, "p99": 11.0, "max": 12.0, "spared": 0.25}
LINES = [
    line(1, RESTART, {"asks": 5_000.0, "failed": 0.0, "longest": 1.5}),
    line(1, "kill an owner", CRASH),
    line(1, "kill the oldest", CRASH),
    line(2, "kill the oldest", {**CRASH, "p99": 13.5}),
]


def test_the_worst_of_each_kind_is_told() -> None:
    tally = Tally(LINES)
    assert (tally.rounds, tally.failed, tally.missing) == (2, [], [])
    assert list(tally.sentences()) == [
        "4 steps, 0 failed",
        "1 rolling restarts: 0 of 5000 asks failed; the longest took 1.50 s",
    ]
    assert list(tally.table())[2:] == [
        "| kill an owner | 1 | 2000 | 9.00 s | 11.00 s | 12.00 s | 0.25 s |",
        "| kill the oldest | 2 | 4000 | 9.00 s | 13.50 s | 12.00 s | 0.25 s |",
    ]
    assert Tally(LINES[:1]).missing == list(KINDS[1:])
    assert list(Tally([]).sentences()) == ["0 steps, 0 failed"]


def test_a_percentile_is_one_of_the_figures() -> None:
    assert [percentile(range(1, 101), part) for part in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7.0], 0.0) == 7.0


def test_no_rounds_sum_up_and_fail_for_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BEGIN in PAGE.read_text(encoding="utf-8")
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nold\n{END}", encoding="utf-8")
    monkeypatch.setattr(session, "PAGE", page)
    for each in LINES:
        keep(results, each)
    assert session.main(["--rounds", "0", "--results", str(results), "--update-docs"]) == 0
    assert "| kill the oldest | 2 |" in page.read_text(encoding="utf-8")
    keep(results, line(3, RESTART, {}, "ChaosError: asks failed"))
    assert session.main(["--rounds", "0", "--results", str(results)]) == 1
    assert "round 3: rolling restart failed" in capsys.readouterr().out
