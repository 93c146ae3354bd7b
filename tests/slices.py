"""Results of long runs: a line of JSON for each thing done, so that a run may be a row of slices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["keep", "read"]


def read(path: Path | None) -> list[Any]:
    """The lines that are there; a torn last one is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def keep(path: Path | None, line: object) -> None:
    """Append a line, if it is to be kept."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
