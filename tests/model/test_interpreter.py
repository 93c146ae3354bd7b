"""Wrappers are taken off when an actor is spawned."""

import pytest

from casty_trio.model.behavior import Behaviors
from casty_trio.model.interpreter import PLAIN, collect
from casty_trio.model.kinds import Behavior, Wrapper


class Strange(Wrapper[str], frozen=True, eq=False):
    """A wrapper from somewhere else."""


def test_a_behaviour_without_wrappers_is_as_it_is() -> None:
    """And nothing is made for it."""
    behavior: Behavior[str] = Behaviors.ignore()
    assert collect(behavior) == (behavior, PLAIN)


def test_a_wrapper_that_nobody_knows_is_an_error() -> None:
    """L8: it is not dropped silently, wherever it stands among others."""
    strange = Strange(Behaviors.ignore())
    for behavior in (strange, Behaviors.with_lifecycle(strange, post_stop=lambda ctx: None)):
        with pytest.raises(TypeError, match=r"Strange.* nobody knows"):
            collect(behavior)
