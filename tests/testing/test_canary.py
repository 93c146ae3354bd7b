"""One seed is one run, in every process. When Trio changes how it schedules, this fails first, and loudly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = Path(__file__).parent / "canary.py"


def digests(*arguments: str) -> list[str]:
    """What four processes print that hash strings differently."""
    programs = [
        subprocess.Popen(
            [sys.executable, str(CANARY), *arguments],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in range(1, 5)
    ]
    output = [program.communicate(timeout=60)[0].strip() for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0, 0]
    return output


def test_four_processes_print_one_digest() -> None:
    found = digests()
    assert len(set(found)) == 1, found
    assert len(found[0]) == 8


@pytest.mark.long
def test_the_flag_is_needed() -> None:
    # The seed alone would do for a handful of tasks; the thousands of waiters are here to show that it does not.
    assert len(set(digests("--without-flag"))) > 1
