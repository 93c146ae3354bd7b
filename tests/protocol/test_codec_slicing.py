"""Classes with a data class below a data class, and what the codec says to them in a field (W4)."""

from dataclasses import dataclass

import pytest

from casty_trio.errors import EncodeError
from casty_trio.protocol.codec import Codec
from tests.protocol.test_codec_laws import there_and_back, write_ref


@dataclass(frozen=True)
class Ordinary:
    n: int


@dataclass(frozen=True)
class Special(Ordinary):
    more: int = 0


@dataclass(frozen=True)
class SpecialOrder:
    first: Ordinary


@dataclass(frozen=True)
class NamedOrder:
    first: Ordinary | Special


def test_a_union_that_names_the_subclass_keeps_it() -> None:
    """That is the remedy the error gives."""
    codec = Codec([NamedOrder])
    for value in (NamedOrder(Ordinary(1)), NamedOrder(Special(1, 2)), Ordinary(1), Special(1, 2)):
        decoded = there_and_back(codec, value)
        assert decoded == value
        assert type(getattr(decoded, "first", decoded)) is type(getattr(value, "first", value))


def test_a_subclass_alone_is_a_message_like_any_other() -> None:
    """Only a field typed with its base is refused, and a value of it in such a field."""
    assert there_and_back(Codec([Ordinary, Special]), Special(1, 2)) == Special(1, 2)
    with pytest.raises(EncodeError, match="Special"):
        Codec([SpecialOrder]).encode(SpecialOrder(Special(1)), write_ref)
