"""Starts two nodes and the monitor, each in a process of its own, and shows what they print: on Trio, then on asyncio."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "examples.presence_two_nodes"


def start(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)  # at the end it is waited for, after it was told to leave
    stack.callback(process.terminate)
    return process


def hears(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # it is a pipe
    return process.stdout.readline().strip()


def run(library: str) -> None:
    print(f"── Monitor on {library} ──")
    with ExitStack() as stack:
        first = start(stack, "node", "alice")
        port = hears(first)
        monitor = start(stack, "monitor", library, port)
        print(hears(monitor))  # alice is there already
        second = start(stack, "node", "bob", "0", port)
        hears(second)
        print(hears(monitor))  # bob has joined, on another node
        print(hears(first))
        print(hears(second))
        print(hears(monitor))  # alice has stopped
        second.terminate()  # and with its node goes bob
        print(hears(monitor))
        monitor.wait(30)
        second.wait(30)  # told twice to leave, it would end at once
    assert (first.returncode, second.returncode, monitor.returncode) == (0, 0, 0)


if __name__ == "__main__":
    for each in ("trio", "asyncio"):
        run(each)
