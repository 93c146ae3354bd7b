"""The Python in the README and in the pages works: programs run and print what the page says, fragments parse."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks
from tests.programs import run_program

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
PROGRAMS = [block for block in BLOCKS if not block.is_fragment]
FRAGMENTS = [block for block in BLOCKS if block.is_fragment]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_prints_what_the_page_says(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.code, encoding="utf-8")
    assert run_program(program) == (block.output or "")


@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_fragment_is_python(block: Block) -> None:
    compile(block.code, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_overlooked(page: Path) -> None:
    fences = re.findall(r"^ *```py", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == sum(block.page == page for block in BLOCKS)


def test_the_first_two_shell_blocks_of_the_readme_are_one_line_each() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert [block.count("\n") for block in shell[:2]] == [1, 1]


def test_finds_programs_fragments_and_outputs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```python\nprint(1)\n```\n\nOutput:\n\n```text\n1\n```\n\n"
        "<!-- fragment -->\n```python\nawait x\n```\n\n!!! note\n\n    ```python\n    print(2)\n    ```\n",
        encoding="utf-8",
    )
    found = [(str(block), block.code, block.is_fragment, block.output) for block in blocks(page)]
    assert found == [
        ("page.md:3", "print(1)\n", False, "1\n"),
        ("page.md:14", "await x\n", True, None),
        ("page.md:20", "print(2)\n", False, None),
    ]
