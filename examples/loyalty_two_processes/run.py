"""Starts a node and a client, each in a process of its own, and shows what they print: on Trio, then on asyncio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "examples.loyalty_two_processes"


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]


def run(library: str) -> None:
    with subprocess.Popen(python("node", "0"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None  # it is a pipe
            port = node.stdout.readline().strip()
            client = subprocess.run(
                python("client", library, port), cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=30, check=True
            )
        finally:
            node.terminate()
        print(f"── Client on {library} ──", client.stdout, "── Node ──", node.stdout.read(), sep="\n")
    assert node.returncode == 0, f"the node ended with {node.returncode}"


if __name__ == "__main__":
    for each in ("trio", "asyncio"):
        run(each)
