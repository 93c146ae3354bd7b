"""``type X = A | B`` travels as what it stands for, also when it holds itself."""

from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from casty_trio.protocol.codec import Codec
from tests.protocol.test_codec_laws import there_and_back


@dataclass(frozen=True)
class One:
    n: int


@dataclass(frozen=True)
class Two:
    n: int


def aliases() -> dict[str, Any]:
    space: dict[str, Any] = {"One": One, "Two": Two}
    exec(  # noqa: S102 - the checkers read this file as 3.11
        "type Either = One | Two\n"
        "type Json = None | bool | int | float | str | list[Json] | dict[str, Json]\n"
        "type Nested = int | list[Nested]\n"
        "type Several[T] = list[T] | T\n",
        space,
    )
    return space


@pytest.mark.parametrize(
    ("alias", "values"),
    [
        ("Either", [One(1), Two(1)]),
        ("Json", [None, True, 1, 1.0, "a", [1, [None]], {"a": {"b": [1.5]}}]),
        ("Nested", [1, [], [1, [2, [3]]]]),
        ("Several", [[One(1), Two(2)], 5]),
    ],
)
def test_an_alias_in_a_field_and_as_a_message(alias: str, values: list[Any]) -> None:
    """A generic one without its arguments stands for anything."""
    annotation = aliases()[alias]
    holder = make_dataclass(f"Holder{alias}", [("field", annotation)])
    codec = Codec([holder, annotation, One, Two])
    for value in values:
        assert there_and_back(codec, holder(value)) == holder(value)
        assert there_and_back(codec, value) == value
