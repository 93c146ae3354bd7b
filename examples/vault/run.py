"""Makes certificates, starts a node with them, and then clients: two that are known, and one from another authority."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(*arguments: object) -> str:
    """Run a module in a process of its own; what it prints."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    return done.stdout


def make_certificates(ours: Path, theirs: Path) -> None:
    for folder, name in ((ours, "alice"), (ours, "bob"), (theirs, "mallory")):
        if not (folder / "ca.pem").exists():
            python("casty_trio", "cert", "ca", "--out", folder)
        python("casty_trio", "cert", "client", name, "--cluster", "vault", "--ca", folder, "--out", folder)
    python("casty_trio", "cert", "node", "node-1", "--cluster", "vault", "--ca", ours, "--out", ours)
    (theirs / "ca.pem").write_bytes((ours / "ca.pem").read_bytes())  # mallory knows our nodes, they do not know mallory


def run(ours: Path, theirs: Path) -> None:
    command = [sys.executable, "-m", "examples.vault.node", str(ours), "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None  # it is a pipe
            port = node.stdout.readline().strip()
            for library, folder, name in (("trio", ours, "alice"), ("asyncio", ours, "bob"), ("trio", theirs, "mallory")):
                print(python("examples.vault.client", library, folder, name, port), end="")
        finally:
            node.terminate()
        print("── Node ──", node.stdout.read(), sep="\n", end="")
    assert node.returncode == 0, f"the node ended with {node.returncode}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        make_certificates(Path(folder, "ours"), Path(folder, "theirs"))
        run(Path(folder, "ours"), Path(folder, "theirs"))
