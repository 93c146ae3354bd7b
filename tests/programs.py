"""Runs a program in a process of its own, the way a user would, and tells what it printed."""

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT = 60.0  # seconds; a program takes a few at most, and a slow machine has mercy


def run_program(program: Path, *arguments: str) -> str:
    """Run a Python file to its end; it must neither fail, nor hang, nor complain."""
    command = [sys.executable, "-W", "error", str(program), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    # A group of its own, so that the processes it started end with it.
    with subprocess.Popen(
        command,
        cwd=program.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            output, complaints = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, complaints = process.communicate()
            raise AssertionError(f"{program.name} hangs.\n{output}\n{complaints}") from None
    assert process.returncode == 0, f"{program.name} ended with {process.returncode}.\n{output}\n{complaints}"
    assert complaints == "", f"{program.name} complains.\n{complaints}"
    return output
