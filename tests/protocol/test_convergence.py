"""Whole members on a virtual clock: what breaks is noticed and mended, and nothing changes while nothing happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty_trio.model.member import MemberStatus
from tests.protocol import convergence, detector_hours
from tests.protocol.convergence import BEGIN, END, FAULTS, PAGE, measure
from tests.protocol.whole import WholeCluster

BOUND = 20.0
"""Seconds; the page says what they are."""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", FAULTS)
def test_c3_after_the_last_fault_all_agree_within_the_bound(kind: str, seed: int) -> None:
    assert measure(kind, 5, seed) < BOUND


@pytest.mark.long
@pytest.mark.parametrize("kind", FAULTS)
def test_c3_so_do_twenty(kind: str) -> None:
    assert measure(kind, 20, 100) < 1.5 * BOUND


def test_c6_only_the_majority_of_a_cut_goes_on_and_all_are_one_cluster_after_it() -> None:
    net = WholeCluster(5, 7)
    uids = {number: net.node(number).uid for number in net.numbers}
    net.cut([1, 2], [3, 4, 5])
    net.run(30)
    assert net.agreed(3, 4, 5)
    assert [net.node(number).view for number in (1, 2)] == [None, None]
    net.heal()
    assert net.until_agreed(60) < 10
    assert [number for number in net.numbers if net.node(number).uid == uids[number]] == [3, 4, 5]


@pytest.mark.parametrize("seconds", [1.0, 3.0, 5.0])
def test_c5_a_short_pause_costs_nobody_the_membership(seconds: float) -> None:
    net = WholeCluster(5, 8)
    net.run(10)
    net.pause(2)
    net.run(seconds)
    net.resume(2)
    assert net.until_agreed(60) < 5
    assert net.rejoined == 0


@pytest.mark.long
@pytest.mark.timeout(600)  # a million messages, on a machine that may be slow
def test_c1_an_idle_hour_of_twenty_nodes_makes_no_new_version() -> None:
    """Heartbeats and gossip go on all the time, and change nothing."""
    net = WholeCluster(20, 1, delay=(0.001, 0.2))
    net.run(30)
    before = {number: net.node(number).membership.version for number in net.numbers}
    views = {number: net.node(number).view for number in net.numbers}
    sent = net.sent
    net.run(3_600)
    assert {number: net.node(number).membership.version for number in net.numbers} == before
    assert {number: net.node(number).view for number in net.numbers} == views
    assert net.sent - sent > 20 * 3_600 * 5
    assert net.rejoined == 0
    assert all(net.node(number).status() == MemberStatus.UP for number in net.numbers)


def test_the_page_has_a_place_for_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BEGIN in PAGE.read_text(encoding="utf-8")
    assert detector_hours.BEGIN in PAGE.read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(convergence, "PAGE", page)
    monkeypatch.setattr(convergence, "FAULTS", {"a node starts again": FAULTS["a node starts again"]})
    results = tmp_path / "results.jsonl"
    results.write_text('["a node starts again", 3, 0, 1.5]\n["a node st')
    results.write_text(results.read_text() + "\n")
    command = ["--seeds", "2", "--sizes", "3", "--jobs", "1", "--results", str(results), "--update-docs"]
    assert convergence.main([*command, "--minutes", "0"]) == 0
    assert "| a node starts again | 1.5 s, 1.5 s (1) |" in page.read_text(encoding="utf-8")
    assert convergence.main(command) == 0
    text = page.read_text(encoding="utf-8")
    assert "| after | 3 nodes: median, worst (seeds) |" in text
    assert "1.5 s (2) |" in text
    assert "| worst of all | 1.5 s |" in text
    assert "old" not in text
    assert "a node starts again, 3, 1, " in capsys.readouterr().out
