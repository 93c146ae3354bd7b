"""The other process of a remote measurement."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run this Python with ``arguments``, give the first line it prints, and end it with the block.

    Raises:
        RuntimeError: it ended before it printed one.
    """
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # it is a pipe
            line = process.stdout.readline().strip()
            if not line:
                raise RuntimeError(f"{' '.join(arguments)} ended at once")
            yield line
        finally:
            process.terminate()
