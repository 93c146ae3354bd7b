"""Finds the Python blocks of a Markdown page.

A block is a whole program, unless the line before its fence is the comment `<!-- fragment -->`, which no reader
sees. A program's output may follow it, after a line that says `Output:`, in a block marked `text`.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?P<fragment>^[ ]*<!-- fragment -->\n)?"
    r"^(?P<indent>[ ]*)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*\n"
    r"(?:\s*^(?P=indent)Output:\s*^(?P=indent)```text[^\n]*\n(?P<output>.*?)^(?P=indent)```[ ]*$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    code: str
    is_fragment: bool
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        output = match["output"]
        yield Block(
            page=page,
            line=text.count("\n", 0, match.start("code")),
            code=textwrap.dedent(match["code"]),
            is_fragment=match["fragment"] is not None,
            output=None if output is None else textwrap.dedent(output),
        )
