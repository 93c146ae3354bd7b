"""The reference of the wire says what the code does."""

from pathlib import Path

from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import REFUSALS
from casty_trio.protocol.session import state_diagram

DOCS = Path(__file__).parents[2] / "docs"


def test_the_diagram_is_the_table_of_the_session() -> None:
    assert f"```mermaid\n{state_diagram()}```" in (DOCS / "wire.md").read_text(encoding="utf-8")


def test_every_kind_of_frame_is_there() -> None:
    text = (DOCS / "wire.md").read_text(encoding="utf-8")
    kinds = {name: value for name, value in vars(Kind).items() if name.isupper()}
    assert [name for name, value in kinds.items() if f"| `{name}` | {value} |" not in text] == []


def test_every_code_of_a_refusal_is_there() -> None:
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    assert [code for code in REFUSALS if f"`{code}`" not in text] == []
