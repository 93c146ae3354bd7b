"""Runs the programs, each in a process of its own, in turns: every program once, then every program again.

A program that fails is not run again; its rows say so, and the rest goes on.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.catalog import Program

__all__ = ["ROOT", "Measured", "ProgramError", "Runner", "limits_folder"]

ROOT = Path(__file__).parents[2]
TIMEOUT = 180.0
"""Seconds after which a program is taken to hang; on a busy machine, the longest takes twenty."""


def limits_folder() -> Path | None:
    """Where the limits are: `CASTY_LIMITS`, or beside the checkout; None when they are not there."""
    folder = Path(os.environ.get("CASTY_LIMITS") or ROOT.parent / "shared" / "limits")
    return folder.resolve() if (folder / "local.py").exists() and (folder / "remote.py").exists() else None


class ProgramError(Exception):
    """A program did not give its figures."""


@dataclass
class Measured:
    """What came out, by program: the figures of each round, or why there are none."""

    figures: dict[Program, list[dict[str, float]]] = field(default_factory=dict)
    failures: dict[Program, str] = field(default_factory=dict)

    def series(self, program: Program, key: str) -> list[float]:
        """A figure in each round; empty when the program failed, or does not print it."""
        if program in self.failures:
            return []
        return [figures[key] for figures in self.figures.get(program, []) if key in figures]


class Runner:
    """Runs programs with one Python."""

    def __init__(self, python: str, limits: Path | None, say: Callable[[str], None]) -> None:
        self._python = python
        self._limits = limits
        self._say = say

    def machine(self) -> dict[str, Any]:
        """What the Python that measures says about itself."""
        return self._run(["-m", "tests.bench.machine"])

    def rounds(self, programs: Sequence[Program], count: int) -> Measured:
        """Run all programs ``count`` times, in turns."""
        measured = Measured(figures={program: [] for program in programs})
        for number in range(1, count + 1):
            for program in programs:
                if program not in measured.failures:
                    self._say(f"round {number} of {count}: {program.name}")
                    self._turn(program, measured)
        return measured

    def _turn(self, program: Program, measured: Measured) -> None:
        try:
            measured.figures[program].append(self._run(self._command(program)))
        except ProgramError as error:
            measured.failures[program] = str(error)
            self._say(f"  failed: {error}")

    def _command(self, program: Program) -> list[str]:
        if program.source != "limit":
            return ["-m", f"tests.bench.programs.{program.module}", *program.arguments]
        assert self._limits is not None  # without it, its programs are not asked for
        return [str(self._limits / program.module), *program.arguments]

    def _run(self, command: list[str]) -> dict[str, Any]:
        # A group of its own, so that the processes it started end with it.
        with subprocess.Popen(
            [self._python, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, complaints = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                raise ProgramError(f"no result after {TIMEOUT:g} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            self._say(complaints.rstrip())
            last = complaints.strip().splitlines()[-1:] or ["no word"]
            raise ProgramError(f"ended with {process.returncode}: {last[0].strip()}")
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result
