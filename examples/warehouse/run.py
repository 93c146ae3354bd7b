"""Makes certificates, starts two nodes that talk to each other with them, and kills one while the other watches."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    """Run a module in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def make_certificates(folder: Path) -> None:
    for arguments in (
        ("ca",),
        ("node", "warehouse", "--cluster", "trade", "--ca", folder),
        ("node", "office", "--cluster", "trade", "--ca", folder),
    ):
        with start("casty_trio", "cert", *arguments, "--out", folder) as command:
            command.communicate(timeout=30)
        assert command.returncode == 0, arguments


def run(folder: Path) -> None:
    with start("examples.warehouse.warehouse", folder, 0) as warehouse:
        try:
            assert warehouse.stdout is not None  # it is a pipe
            port = warehouse.stdout.readline().strip()
            with start("examples.warehouse.office", folder, port) as office:
                assert office.stdout is not None
                for line in office.stdout:
                    print(line, end="")
                    if "awake" in line:
                        warehouse.kill()
        finally:
            warehouse.kill()
    assert office.returncode == 0, f"the office ended with {office.returncode}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        make_certificates(Path(place))
        run(Path(place))
