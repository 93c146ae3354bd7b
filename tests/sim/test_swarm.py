"""The command that runs many seeds: slices, what it counts, and what it fails for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from casty_trio.testing import Bench, SimulatedEnv
from tests import slices
from tests.sim import swarm

HERE = "tests.sim.test_swarm"


def quiet(bench: Bench) -> Any:
    """Nodes that do nothing."""

    async def node(env: SimulatedEnv, name: str) -> None:
        await bench.told_to_leave(name)

    return node


def failing(bench: Bench) -> Any:
    """Nodes of which some fail."""

    async def node(env: SimulatedEnv, name: str) -> None:
        with trio.move_on_after(30):
            await bench.told_to_leave(name)
        if bench.plan.seed % 3 == 1:
            raise ValueError("every third")

    return node


lives: list[object] = []


def forgetful(bench: Bench) -> Any:
    """Nodes that remember the run before."""
    lives.append(None)

    async def node(env: SimulatedEnv, name: str) -> None:
        bench.sim.record(len(lives))
        await bench.told_to_leave(name)

    return node


def test_slices_go_on_where_the_last_one_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is not run again, a torn line is; and the sum is over all."""
    results = tmp_path / "results.jsonl"
    command = ["--program", f"{HERE}:quiet", "--results", str(results)]
    assert swarm.main([*command, "--seeds", "0..3"]) == 0
    first = results.read_text()
    results.write_text(first + '{"seed": 3, "no')
    with results.open("a") as file:
        file.write("\n")
    assert swarm.main([*command, "--seeds", "0..30"]) == 0
    assert results.read_text().startswith(first)
    lines = slices.read(results)
    assert sorted(line["seed"] for line in lines) == list(range(30))
    assert {line["failure"] for line in lines} == {None}
    assert [line["seed"] for line in lines if line["replayed"]] == [0]
    output = capsys.readouterr().out
    assert "30 seeds" in output
    assert "as fast as real time" in output
    assert "Partition" in output


def test_a_slice_ends_in_time(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    assert swarm.main(["--program", f"{HERE}:quiet", "--results", str(results), "--seconds", "0.000001"]) == 0
    assert len(slices.read(results)) <= 1


def test_failures_are_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stops after a few; a kind of fault that never took place is one, once there are seeds enough."""
    results = tmp_path / "results.jsonl"
    command = ["--program", f"{HERE}:failing", "--results", str(results), "--failures", "2"]
    assert swarm.main([*command, "--seeds", "0..30"]) == 1
    output = capsys.readouterr().out
    assert "seed 1: NodeFailedError" in output
    assert "Plan(seed=1" in output
    assert "seed 4 failed" in output
    assert len(slices.read(results)) == 5
    assert swarm.main(["--program", f"{HERE}:quiet", "--seeds", "1..2", "--enough", "1"]) == 1
    assert "took place" in capsys.readouterr().out


def test_a_run_that_is_not_the_same_again_is_a_failure(tmp_path: Path) -> None:
    """I19, on one seed in fifty."""
    results = tmp_path / "results.jsonl"
    assert swarm.main(["--program", f"{HERE}:forgetful", "--results", str(results), "--seeds", "50..52"]) == 1
    [first, second] = [json.loads(line) for line in results.read_text().splitlines()]
    assert first["failure"].startswith("I19 replayability")
    assert second["failure"] is None


@pytest.mark.long
def test_the_usual_program_for_a_few_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """L4, L6, W5: nothing is lost without a word, watches end once, order holds; and the load was there at each fault."""
    assert swarm.main(["--seeds", "100..102"]) == 0
    output = capsys.readouterr().out
    [line] = [line for line in output.splitlines() if line.startswith("asks in flight")]
    assert int(line.split(": ")[1].split(" ")[0]) >= 50
