"""Behaviours are values, made without a system."""

import pytest

from casty_trio import Behavior, Behaviors, ShardEnvelope


def test_behaviours_are_frozen_and_compare_by_identity() -> None:
    """L2: a behaviour cannot change; two with one handler are two."""

    def handler(ctx: object, message: int) -> None:
        return None

    first, second = Behaviors.receive(handler), Behaviors.receive(handler)
    assert first != second
    assert len({first, second}) == 2
    with pytest.raises(AttributeError):
        first.handler = handler  # type: ignore[attr-defined] # no such thing on the public class, and frozen


def test_instructions_are_single() -> None:
    """There is one `same` and one `stopped`, and they say what they are."""
    assert Behaviors.same() is Behaviors.same()
    assert Behaviors.stopped() is Behaviors.stopped()
    assert Behaviors.same() is not Behaviors.stopped()
    assert repr(Behaviors.same()) == "Behaviors.same()"
    assert repr(Behaviors.stopped()) == "Behaviors.stopped()"
    assert isinstance(Behaviors.same(), Behavior)


@pytest.mark.parametrize("num_shards", [1, 100, 65_536])
def test_shards_in_range(num_shards: int) -> None:
    """S1: the number is kept."""
    assert Behaviors.sharded(lambda entity_id: Behaviors.stopped(), num_shards=num_shards).num_shards == num_shards


@pytest.mark.parametrize("num_shards", [0, -1, 65_537])
def test_shards_out_of_range(num_shards: int) -> None:
    """S1: refused where it is written."""
    with pytest.raises(ValueError, match="num_shards"):
        Behaviors.sharded(lambda entity_id: Behaviors.stopped(), num_shards=num_shards)


def test_envelopes_are_values() -> None:
    """An envelope equals another with the same id and message."""
    assert ShardEnvelope("a", 1) == ShardEnvelope("a", 1)
    assert ShardEnvelope("a", 1) != ShardEnvelope("b", 1)
    assert len({ShardEnvelope("a", 1), ShardEnvelope("a", 1)}) == 1
