"""Starts two nodes and a client, each in a process of its own, and shows what they print: on Trio, then on asyncio."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "examples.echo_from_outside"


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]


def node(stack: ExitStack, name: str, *seeds: str) -> tuple[subprocess.Popen[str], str]:
    """Start a node, and wait until it says at which port it is."""
    process = subprocess.Popen(python("node", name, "0", *seeds), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)  # at the end it is waited for, after it was told to leave
    stack.callback(process.terminate)
    assert process.stdout is not None  # it is a pipe
    return process, process.stdout.readline().strip()


def hears(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def run(library: str) -> None:
    with ExitStack() as stack:
        first, port = node(stack, "node-1")
        second, _ = node(stack, "node-2", port)
        client = subprocess.run(
            python("client", library, port), cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=30, check=True
        )
        print(f"── Client on {library} ──", client.stdout, "── Nodes ──", hears(first), hears(second), "", sep="\n")
    assert (first.returncode, second.returncode) == (0, 0)


if __name__ == "__main__":
    for each in ("trio", "asyncio"):
        run(each)
