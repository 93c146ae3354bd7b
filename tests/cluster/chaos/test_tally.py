"""How rounds of chaos are counted, resumed and written down; no process is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chaos import __main__ as session, tally
from tests.cluster.chaos.rounds import KINDS
from tests.cluster.chaos.steps import PATTERNS
from tests.cluster.chaos.tally import BEGIN, END, PAGE, Tally, update_page
from tests.slices import keep, read


def line(number: int, kind: str, failure: str | None = None, **figures: float) -> dict[str, Any]:
    return {"round": number, "kind": kind, "figures": figures, "failure": failure, "seconds": 30.0}


LINES = [
    line(1, "form: two seeds", agreed=0.5),
    line(1, "kill", removed=11.0, joined=0.25),
    line(2, "kill", removed=12.0, joined=0.5),
    line(2, "cut: silent, raise", removed=10.0, margin=2.5, healed=1.5),
]


def test_there_are_six_patterns_and_each_kind_is_counted() -> None:
    assert len(PATTERNS) == 6
    rows = list(Tally(LINES).table())[2:]
    assert len(rows) == len(KINDS)
    assert "| kill | 2 | 11.50 s, 12.00 s | 0.38 s, 0.50 s |" in rows


def test_what_was_worst_is_said() -> None:
    text = "\n".join(Tally(LINES).sentences())
    assert "4 steps in 2.0 minutes, 0 failed" in text
    assert "last start of five: 0.50 s" in text
    assert "crash or a cut: 12.00 s" in text
    assert "one cluster again: 1.50 s" in text
    assert "stopped 2.50 s or more" in text
    assert list(Tally([]).sentences()) == ["0 steps in 0.0 minutes, 0 failed"]


def test_what_was_never_done_is_missing_once_there_was_time() -> None:
    assert Tally(LINES).missing == []
    assert "kill the leader" in Tally([*LINES, line(4, "kill")]).missing


def test_lines_are_kept_and_a_torn_one_is_left_out(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    assert read(results) == []
    keep(results, LINES[0])
    with results.open("a") as file:
        file.write('{"round": 2, "ki')
    assert read(results) == LINES[:1]
    keep(None, LINES[0])


def test_the_page_has_a_place_for_the_table(tmp_path: Path) -> None:
    assert BEGIN in PAGE.read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        update_page(page, Tally(LINES), session.where())
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{BEGIN}\n")
        assert text.endswith(f"{END}\nafter\n")
        assert "old" not in text
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="does not have the lines"):
        update_page(page, Tally(LINES), "here")


def test_a_run_of_no_minutes_sums_up_and_fails_for_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.jsonl"
    for each in LINES:
        keep(results, each)
    monkeypatch.setattr(session, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    assert session.main(["--minutes", "0", "--results", str(results), "--update-docs"]) == 0
    assert "| kill | 2 |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    keep(results, line(3, "kill", "ChaosError: too late"))
    assert session.main(["--minutes", "0", "--results", str(results)]) == 1
    assert "round 3: kill failed" in capsys.readouterr().out
    assert tally.Tally(read(results)).rounds == 3
