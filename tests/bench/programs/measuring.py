"""What all measured programs share: how much they do, how time and memory are taken, how results are printed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TELLS = 200_000
ASKS = 50_000
MANY_ACTORS = 20_000
BRANCHES = 100
LEAVES = 1_000
CALLERS = 64
CALLS = 1_000
REMOTE_ASKS = 5_000
REMOTE_TELLS = 200_000
WARM_UP = 200

NODES = 3
ENTITY_TURNS = 10
MANY_ENTITIES = 100_000

CLUSTERS = (3, 5, 10)
IDLE_NODES = 5
IDLE_SECONDS = 30.0
TURNS = 8

CROWD = 1_000
CROWD_PROCESSES = 4
CROWD_ENTITIES = 64
CROWD_ASKS = 20

PEER_TELLS = 50_000
PEER_ASKS = 10_000
PEER_CALLS = 100
PEER_REMOTE_TELLS = 10_000
PEER_REMOTE_ASKS = 2_000
PEER_REMOTE_CALLS = 30

KIB_PER_PAGE = 4

Result = dict[str, float]


@contextmanager
def timed(result: Result, key: str, count: int) -> Iterator[None]:
    """Put into ``result`` how many per second there are when the block does ``count``."""
    start = time.perf_counter()
    yield
    result[key] = count / (time.perf_counter() - start)


@contextmanager
def lasting(result: Result, key: str) -> Iterator[None]:
    """Put into ``result`` how many seconds the block takes."""
    start = time.perf_counter()
    yield
    result[key] = time.perf_counter() - start


def resident_kib(process: int | None = None) -> float:
    """The memory that this process, or another, has in use, in KiB."""
    return int(Path(f"/proc/{process or 'self'}/statm").read_text(encoding="ascii").split()[1]) * KIB_PER_PAGE


def check(handled: int, expected: int) -> None:
    """Refuse a measurement in which not all the work was done, or more than all.

    Raises:
        AssertionError: the two differ.
    """
    if handled != expected:
        raise AssertionError(f"{handled} messages were handled, of {expected}")


def print_result(result: Result) -> None:
    """Print what was measured, as JSON."""
    print(json.dumps({key: round(value, 2) for key, value in result.items()}))
