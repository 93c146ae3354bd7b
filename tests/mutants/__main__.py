"""Applies each patch to a copy of the package, and demands that the named test turns red; green without any.

python -m tests.mutants [L6 S2-left ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent
RED = 1  # pytest's code for tests that failed; all others above 0 mean that it could not run them
TIMEOUT = 300  # seconds; the slowest takes a few


def copy(folder: Path) -> None:
    """What a test run needs."""
    for name in ("casty_trio", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def pytest(folder: Path, *tests: str, expected: tuple[int, ...] = (0, RED)) -> int:
    """Run tests in the copy; pytest's exit code, and what it says when that is not expected.

    Without Python's own look at what hangs: a broken guarantee may hang, and the two looks at one moment end in a crash.
    Without bytecode: a patched file may have the size of the old one, and be of the same second.
    """
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    options = ["-q", "-x", "-p", "no:cacheprovider", "--timeout=60", "-o", "faulthandler_timeout=0"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode not in expected:
        print(done.stdout, done.stderr)
    return done.returncode


def apply(folder: Path, mutant: Mutant, *options: str) -> bool:
    """Apply a patch to the copy; whether it fits."""
    command = ["git", "apply", *options, str(PATCHES / mutant.patch)]
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}  # a repository above is none of ours
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr)
    return done.returncode == 0


def verdict(folder: Path, mutant: Mutant) -> str:
    """What became of one mutant."""
    if not apply(folder, mutant):
        return "does not apply"
    try:
        code = pytest(folder, mutant.test)
    finally:
        apply(folder, mutant, "--reverse")
    return {RED: "killed", 0: "SURVIVED"}.get(code, f"could not run (code {code})")


def names(mutant: Mutant) -> set[str]:
    """By which it can be asked for: its guarantee, and its patch."""
    return {mutant.guarantee, Path(mutant.patch).stem}


def main(wanted: list[str]) -> int:
    """Try all, or those of some guarantees, or some patches."""
    known = {name for mutant in MUTANTS for name in names(mutant)}
    if unknown := set(wanted) - known:
        print(f"there is no mutant of {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in MUTANTS if not wanted or names(mutant) & set(wanted)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy(folder)
        if code := pytest(folder, *dict.fromkeys(mutant.test for mutant in chosen), expected=(0,)):
            print(f"the tests are not green without any patch (code {code})")
            return 1
        bad = 0
        for mutant in chosen:
            end = verdict(folder, mutant)
            bad += end != "killed"
            print(f"{mutant.guarantee:4} {mutant.patch:20} {end:14} {mutant.test}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
