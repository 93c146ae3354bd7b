"""The arithmetic and the tables of the benchmarks, on fixed numbers. Nothing is timed here."""

import dataclasses
from pathlib import Path

import pytest

from tests.bench import results as module
from tests.bench.catalog import PROGRAMS, ROWS, Source, programs_of, select
from tests.bench.report import (
    BEGIN,
    CLUSTER_BEGIN,
    CLUSTER_END,
    CROWD_BEGIN,
    CROWD_END,
    END,
    PAGE,
    as_markdown,
    as_text,
    between,
    update_page,
)
from tests.bench.results import Part, Results, RowResult, collect, kept_runs, load, save
from tests.bench.runner import Measured
from tests.bench.summary import Ratio, Spread, ratio, spread

SERIES: dict[Source, list[float]] = {
    "casty_trio": [60_000.0, 50_000.0, 55_000.0],
    "limit": [100_000.0, 100_000.0, 50_000.0],
    "xoscar": [11_000.0, 11_000.0, 11_000.0],
}
MACHINE = {
    "python": "3.13.0",
    "system": "Linux 6",
    "cores": 2,
    "load": [0.5, 0.4, 0.3],
    "processor": "a processor",
    "packages": {"trio": "0.35.0", "pykka": None, "xoscar": "0.12.2"},
}


@pytest.fixture
def results() -> Results:
    rows = [
        RowResult("ask", "local ask", "/s", 0.80, SERIES, {}),
        RowResult("client_ask", "client ask", "/s", 0.75, {}, {"casty_trio": "ended with 1: no cluster"}),
        RowResult("memory", "memory", "KiB", 1.25, {"casty_trio": [6.0], "limit": [5.0]}, {}),
    ]
    return Results("2025-01-02T03:04:05+00:00", MACHINE, 3, True, rows)


def test_spread_is_median_and_ends() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)
    with pytest.raises(ValueError, match="no figures"):
        spread([])


def test_ratio_is_of_medians_and_of_each_round() -> None:
    assert ratio(SERIES["casty_trio"], SERIES["limit"]) == Ratio(0.55, Spread(0.6, 0.5, 1.1))
    with pytest.raises(ValueError, match="2 rounds are compared with 1"):
        ratio([1.0, 2.0], [1.0])


def test_a_promise_is_at_least_for_rates_and_at_most_for_memory(results: Results) -> None:
    ask, client, memory = results.rows
    assert (ask.reached, client.reached, memory.reached) == (False, None, True)
    assert dataclasses.replace(ask, goal=0.55).reached
    assert dataclasses.replace(memory, goal=1.19).reached is False


def test_rows_are_chosen_by_pattern_and_backend() -> None:
    assert [row.name for row in select(["tell*", "ask"])] == ["tell", "tell_async", "tell_annotated", "ask"]
    assert [row.name for row in select(["client_tell*"], "trio")] == ["client_tell", "client_tell_3_nodes"]
    assert [row.name for row in select(["client_tell*"], "asyncio")] == ["client_tell_asyncio"]
    assert select([]) == list(ROWS)
    with pytest.raises(ValueError, match="no row is called 'nonsense'"):
        select(["nonsense"])


def test_every_program_has_a_turn_and_a_row() -> None:
    assert programs_of(ROWS) == list(PROGRAMS)
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all("casty_trio" in row.figures for row in ROWS)


def test_a_failed_program_leaves_its_reason_and_no_figures() -> None:
    [row] = select(["ask"])
    ours, limit = row.figures["casty_trio"].program, row.figures["limit"].program
    measured = Measured({ours: [{"ask_per_s": 2.0}], limit: [{"ask_per_s": 4.0}]}, {limit: "ended with 1"})
    result = collect(row, measured)
    assert result.series == {"casty_trio": [2.0]}
    assert result.failures == {"limit": "ended with 1"}
    assert result.ratio("limit") is None
    silent = collect(row, Measured({ours: [{}]}))
    assert silent.failures == {"casty_trio": "casty_trio local messages plain does not print ask_per_s"}


def test_json_gives_the_same_run_back(results: Results, tmp_path: Path) -> None:
    save(results, tmp_path / "run.json")
    assert load(tmp_path / "run.json") == results


def test_text_says_what_is_there_and_what_is_not(results: Results) -> None:
    text = as_text(results)
    assert "55.0 k/s (50.0..60.0)" in text
    assert "0.55 (0.50..0.60..1.10)" in text
    assert "pykka is not installed." in text
    assert "client_ask: casty_trio failed: ended with 1: no cluster" in text
    assert "ask: not as promised in this run." in text


def test_page_is_changed_between_its_comments_only(results: Results, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # again changes nothing
        update_page(page, [results, results])
        table = as_markdown(results)
        assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\n{table}\n\n{table}\n\n{END}\nafter\n"
    page.write_text("no comments", encoding="utf-8")
    with pytest.raises(ValueError, match="does not have the lines"):
        update_page(page, [results])


def test_the_part_on_clusters_is_a_table_of_its_own(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not measured this time stays as it is."""
    monkeypatch.setattr(module, "KEPT", tmp_path)
    row = RowResult("cluster_idle_bytes", "idle", "B/s", None, {"casty_trio": [512.4, 80.0]}, {})
    cluster = dataclasses.replace(results, rows=[row])
    assert module.keep(cluster) == ["cluster"]
    assert [path.name for path in tmp_path.iterdir()] == ["cluster-3.13.json"]
    assert kept_runs("cluster") == [cluster]
    assert module.keep(dataclasses.replace(results, rows=[*results.rows, row])) == ["python", "cluster"]
    assert kept_runs() == [results]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{CLUSTER_BEGIN}\n{CLUSTER_END}\nafter\n", encoding="utf-8")
    update_page(page, [cluster], "cluster")
    assert "| idle | 296 B/s (80.00..512) |\n\n" in page.read_text(encoding="utf-8")


def test_the_part_on_many_clients_is_one_too(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", tmp_path)
    row = RowResult("crowd_memory", "a client", "KiB", None, {"casty_trio": [24.0, 26.0]}, {})
    crowd = dataclasses.replace(results, rows=[row])
    assert module.keep(crowd) == ["crowd"]
    assert kept_runs("crowd") == [crowd]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{CROWD_BEGIN}\n{CROWD_END}\nafter\n", encoding="utf-8")
    update_page(page, [crowd], "crowd")
    assert "| a client | 25.00 KiB (24.00..26.00) |\n\n" in page.read_text(encoding="utf-8")


def test_page_shows_the_kept_runs_as_they_are() -> None:
    assert kept_runs()
    assert between(kept_runs()) in PAGE.read_text(encoding="utf-8")
    parts: tuple[Part, ...] = ("cluster", "crowd")
    for part in parts:
        assert kept_runs(part)
        for run in kept_runs(part):
            assert as_markdown(run, columns=2) in PAGE.read_text(encoding="utf-8")
