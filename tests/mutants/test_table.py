"""Local guarantees, the door, links and shards have mutants; the table names what there is. `nox -s mutants` runs them."""

from pathlib import Path

import pytest

import casty_trio
import tests.mutants
from tests.mutants import MUTANTS

HERE = Path(__file__).parent


def test_every_guarantee_has_a_patch_and_every_patch_a_line() -> None:
    """L1 to L14, W3, W5 to W8, C8, S1 to S5, and S8."""
    local = {f"L{number}" for number in range(1, 15)}
    across = {"W3", "W5", "W6", "W7", "W8", "C8", "S1", "S2", "S3", "S4", "S5", "S8"}
    assert {mutant.guarantee for mutant in MUTANTS} == local | across
    assert {mutant.patch for mutant in MUTANTS} == {path.name for path in HERE.glob("*.patch")}
    assert all(f"`{mutant.patch}`" in (tests.mutants.__doc__ or "") for mutant in MUTANTS)


@pytest.mark.parametrize("patch", sorted(HERE.glob("*.patch")), ids=lambda patch: patch.stem)
def test_every_patch_fits_the_package(patch: Path) -> None:
    """What it takes away, with the lines around it, stands in the file it names; without git, and in a wheel too."""
    for part in patch.read_text().split("--- a/")[1:]:
        name, _, hunks = part.partition("\n")
        source = (Path(casty_trio.__file__).parents[1] / name).read_text()
        for hunk in hunks.split("\n@@ ")[1:]:
            _, *lines = hunk.splitlines()
            assert "\n".join(line[1:] for line in lines if not line.startswith("+")) in source, name


def test_the_named_tests_exist_and_name_their_guarantee() -> None:
    """In the docstring, so that a reader finds the one from the other."""
    for mutant in MUTANTS:
        path, _, name = mutant.test.partition("::")
        text = (HERE.parents[1] / path).read_text()
        _, found, rest = text.partition(f"def {name}(")
        assert found, mutant
        docstring = rest.split('"""')[1]
        assert mutant.guarantee in docstring.replace(":", ",").replace(" ", "").split(","), mutant
