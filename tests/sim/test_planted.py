"""The bench finds each planted bug, with the seed and by the invariant that are known to."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty_trio.protocol import members
from casty_trio.testing.errors import InvariantError
from tests.sim import planted
from tests.sim.planted import BEGIN, END, PLANTED, Bug, Found

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_it_is_found(bug: Bug) -> None:
    """C1, C2, C4, C5, C6: whoever breaks one of them is noticed."""
    error = bug.run(bug.seed)
    assert error is not None, f"seed {bug.seed} does not find it any more: look for another one with tests.sim.planted"
    assert error.invariant == bug.invariant


def test_a_bug_is_gone_afterwards() -> None:
    before = members._merge_members
    [bug] = [bug for bug in PLANTED if bug.name == "last write wins"]
    with bug.plant():
        assert members._merge_members is not before
    assert members._merge_members is before


def test_the_table_stands_between_its_marks(tmp_path: Path) -> None:
    """Written twice it is there once; a page without marks is left alone."""
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{BEGIN}\n\nold\n\n{END}\n\nThe end.\n")
    lines = list(planted.table([Found(PLANTED[0], 7, InvariantError("C5 spared", "node-1", 12.3456, "that"))]))
    planted.write(page, lines)
    planted.write(page, lines)
    assert page.read_text() == f"# Page\n\n{BEGIN}\n\n{lines[0]}\n{lines[1]}\n{lines[2]}\n\n{END}\n\nThe end.\n"
    assert lines[2] == "| no refutation | a node does not see that it is accused | 7 | C5 spared | 12.3 s |"
    page.write_text("# Page\n")
    with pytest.raises(ValueError, match="has no place"):
        planted.write(page, lines)


def test_the_page_tells_of_each_bug() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    found = text.partition(BEGIN)[2].partition(END)[0]
    assert [line.split("|")[1].strip() for line in found.splitlines() if line.startswith("| ")][2:] == [
        bug.name for bug in PLANTED
    ]


def test_what_is_not_found_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Bug, "run", lambda self, seed: None)
    assert planted.main(["--most", "3"]) == 1
    assert "no downing: 3 seeds do not find it" in capsys.readouterr().out
