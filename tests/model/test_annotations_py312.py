"""Message types are found through ``type X = A | B`` too."""

from dataclasses import dataclass
from typing import Any

from casty_trio.model.annotations import factory_message_types
from casty_trio.model.kinds import Behavior


@dataclass
class A:
    n: int


@dataclass
class B:
    n: int


def test_type_aliases_are_followed() -> None:
    """``type X = A | B``, nested, generic, with itself among its members, and as text."""
    space: dict[str, Any] = {"A": A, "B": B, "Behavior": Behavior}
    exec(  # noqa: S102 - the checkers read this file as 3.11
        "type X = A | B\ntype Y = X | int\ntype Z[T] = list[T] | A\ntype Bad = Missing\n"
        "type Loop = A | Loop\n"
        "def x(e: str) -> Behavior[X]: ...\ndef y(e: str) -> Behavior[Y]: ...\n"
        "def z(e: str) -> Behavior[Z[int]]: ...\ndef bad(e: str) -> Behavior[Bad]: ...\n"
        "def loop(e: str) -> Behavior[Loop]: ...\n"
        "def text(e: str) -> 'Behavior[Y]': ...\n",
        space,
    )
    found = {name: factory_message_types(space[name]) for name in ("x", "y", "z", "bad", "loop", "text")}
    assert found == {"x": (A, B), "y": (A, B, int), "z": (list[int], A), "bad": (), "loop": (A,), "text": (A, B, int)}
