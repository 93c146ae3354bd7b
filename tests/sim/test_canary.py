"""One seed is one run of a node and its clients, in every process."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from casty_trio.testing import simulate
from tests.sim import canary

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.slow
def test_four_processes_print_one_digest() -> None:
    """The processes hash strings and classes differently; the node, its clients and the network do not notice."""
    programs = [
        subprocess.Popen(
            [sys.executable, canary.__file__ or "", "7"],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for hash_seed in range(1, 5)
    ]
    output = [program.communicate(timeout=100)[0].strip() for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0, 0]
    assert len(set(output)) == 1, output


@pytest.mark.slow
def test_the_seed_decides(caplog: pytest.LogCaptureFixture) -> None:
    """In one process, too: the same seed gives the same run, step by step, and another seed another."""
    caplog.set_level(logging.CRITICAL)
    one, same, other = (simulate(canary.scenario, seed) for seed in (3, 3, 4))
    assert (one.digest, one.steps, one.seconds) == (same.digest, same.steps, same.seconds)
    assert one.network == same.network
    assert one.digest != other.digest
