"""Every example runs to its end and prints exactly what the file beside it says.

`examples/a.py` is compared with `examples/a.out`. A folder with a `run.py` is one example of several processes:
only `run.py` is started, it starts the others, and `run.out` holds what all of them print together.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import run_program

EXAMPLES = Path(__file__).parents[2] / "examples"


def programs() -> Iterator[Path]:
    for path in sorted(EXAMPLES.rglob("*.py")):
        runner = path.with_name("run.py")
        if not path.name.startswith("_") and (path == runner or not runner.exists()):
            yield path


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("program", list(programs()), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_example_prints_what_it_should(program: Path) -> None:
    expected = program.with_suffix(".out")
    assert expected.exists(), f"{program.name} has no {expected.name} that says what it prints"
    assert run_program(program) == expected.read_text(encoding="utf-8")


def test_no_expected_output_is_left_over() -> None:
    assert {path.with_suffix(".py") for path in EXAMPLES.rglob("*.out")} <= set(programs())
