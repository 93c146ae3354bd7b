"""Plans in which nothing happens that is not planned: nodes leave in turn, and are started again.

python -m tests.sim.planned --seeds 0..200          (resumable: give the next slice)
"""

from __future__ import annotations

import argparse
import random
import sys
from functools import partial

from casty_trio.testing import Plan, run_plan
from casty_trio.testing.__main__ import silence
from casty_trio.testing.clustered import clustered
from casty_trio.testing.faults import Leave, Step

planned = partial(clustered, complete=True)
"""The usual cluster, where every item that an entity is told has to be handled, once (S2)."""


def rolling(seed: int) -> Plan:
    """Every node of a cluster is restarted, in some order; sometimes two at the same time."""
    rng = random.Random(seed)
    nodes = rng.choice((3, 4, 5, 5))
    steps: list[Step] = []
    at = 10.0
    for number in rng.sample(range(1, nodes + 1), nodes):
        away = rng.uniform(3.0, 15.0)
        steps.append(Leave(at=at, node=f"node-{number}", seconds=away))
        at += rng.choice((away + 5.0, away + 15.0, 1.0 if nodes > 3 else away + 10.0))
    return Plan(seed=seed, nodes=nodes, steps=tuple(steps), length=at + 20.0, calm=45.0)


def main(arguments: list[str]) -> int:
    """Run a slice of seeds; 1 when one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.planned")
    parser.add_argument("--seeds", default="0..10")
    first, last = parser.parse_args(arguments).seeds.split("..")
    silence()
    failed = 0
    told = moved = 0.0
    for seed in range(int(first), int(last)):
        try:
            figures = run_plan(planned, rolling(seed)).figures
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            failed += 1
            sys.stdout.write(f"seed {seed} has failed: {error}\n")
        else:
            told += figures["items told"]
            moved += figures["hand-offs"]
    sys.stdout.write(f"seeds {first} to {last}: {failed} failed, {told:.0f} items told, {moved:.0f} shards moved\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
