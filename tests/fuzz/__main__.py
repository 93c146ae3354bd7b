"""`python -m tests.fuzz [TARGET] [--seconds N] [--keep]`: looks for bytes that do harm, with atheris.

Each target runs in a process of its own, for libFuzzer ends the process it runs in. What does harm is left in the folder
that the last line names; with the repair its bytes are added to the corpus, a line in hexadecimal.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

LONGEST = 4096
"""Bytes of an input; what is longer finds nothing new."""
KEPT = 20_000
"""Bytes of inputs that the repository keeps for one target: the shortest ones."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="frames, handshake, bodies, membership or remembered; all when left out")
    parser.add_argument("--seconds", type=int, default=300, help="for each target (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="write what was found worth keeping into the corpus")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        fuzz(options.target, options.folder, options.seconds)
    from tests.fuzz.targets import TARGETS

    failed = [name for name in TARGETS if options.target in (None, name) and run(name, options.seconds, options.keep)]
    if failed:
        print("found something:", ", ".join(failed))
    return len(failed)


def run(target: str, seconds: int, keep: bool) -> int:
    """Fuzz one target in a process of its own; what that ends with."""
    from tests.fuzz.targets import CORPUS, corpus, seeds

    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
    path = CORPUS / f"{target}.txt"
    for data in [*(corpus(target) if path.exists() else ()), *seeds(target)]:
        (folder / sha256(data).hexdigest()).write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz", target, "--seconds", str(seconds), "--folder", str(folder)]
    code = subprocess.run(command, check=False).returncode
    print(f"{target}: ended with {code}; inputs are in {folder}")
    if keep:
        found = sorted((file.read_bytes() for file in folder.iterdir() if not file.name.startswith("harm-")), key=len)
        sizes = itertools.accumulate(map(len, found))
        kept = [data for data, size in zip(found, sizes, strict=True) if data and size <= KEPT]
        path.write_text("".join(f"{data.hex()}\n" for data in kept), encoding="ascii")
    return code


def fuzz(target: str, folder: Path, seconds: int) -> None:
    """Never returns."""
    import atheris

    with atheris.instrument_imports(include=["casty_trio"]):
        from tests.fuzz.targets import TARGETS
    arguments = [str(folder), f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/harm-"]
    atheris.Setup([sys.argv[0], *arguments, "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
