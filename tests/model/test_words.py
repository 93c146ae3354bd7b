"""Exceptions are put into words, whatever their classes do (L11, L12)."""

from typing import Any

import pytest

from casty_trio.model.words import add_note, in_code, in_words


class NoTextError(Exception):
    """It cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no code")


class NoFileError(SyntaxError):
    """What a traceback looks at raises."""

    @property
    def filename(self) -> Any:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride]
        raise RuntimeError("no file")


def test_good_ones_are_told_in_full() -> None:
    """Type and text, or what Python would write."""
    assert in_words(KeyError("a")) == "KeyError: 'a'"
    assert in_code(KeyError("a")) == "KeyError('a')"


@pytest.mark.parametrize("error", [NoTextError(), NoFileError("x")])
def test_bad_ones_are_told_by_their_type(error: Exception) -> None:
    """And nothing that they raise themselves comes out."""
    assert type(error).__name__ in in_words(error)
    assert type(error).__name__ in in_code(error)
    add_note(error, "a note")
    assert error.__notes__ == ["a note"]
