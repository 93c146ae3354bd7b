"""What waits for a connection, on a node and on a client."""

import pytest

from casty_trio import MessageTooLargeError
from casty_trio.link.held import Held, HeldMessages
from casty_trio.protocol.frames import Kind


def held(number: int, uid: int = 0, size: int = 10) -> Held:
    return Held(Kind.ACTOR, bytes(size), uid, number)


def test_held_messages() -> None:
    """W6: bounded in bytes, in order, taken by the start of the node; a single one is never too large."""
    waiting = HeldMessages(100)
    assert waiting.fits(held(1, size=10_000))
    for number in range(1, 6):
        waiting.add(held(number, uid=number % 2))
    assert not waiting.fits(held(6, size=40))
    assert (len(waiting), waiting.size) == (5, 75)
    assert waiting.remove_ask(2)
    assert not waiting.remove_ask(2)
    waiting.put_first([held(8), held(9)])
    assert [each.ask for each in waiting] == [8, 9, 1, 3, 4, 5]
    assert [each.ask for each in waiting.take(7)] == [8, 9, 4]
    assert not waiting.remove_ask(8)
    assert [each.ask for each in waiting.take(1)] == [1, 3, 5]
    assert (len(waiting), waiting.size, waiting.clear()) == (0, 0, [])


def test_the_oldest_give_way() -> None:
    """K4: bounded in number and in bytes, where the oldest are dropped; a single one is never too large."""
    waiting = HeldMessages(100, largest=50, most=3)
    assert waiting.oldest is None
    waiting.add(held(1, size=200))
    assert not waiting.overflowing
    waiting.add(held(2))
    assert waiting.overflowing
    assert waiting.take_oldest().ask == 1
    assert not waiting.remove_ask(1)
    for number in (3, 4):
        assert waiting.fits(held(number))
        waiting.add(held(number))
    assert not waiting.overflowing
    assert not waiting.fits(held(5))
    waiting.add(held(5))
    assert waiting.overflowing
    assert (waiting.oldest and waiting.oldest.ask, len(waiting), waiting.size) == (2, 4, 60)
    waiting.check(bytes(50))
    with pytest.raises(MessageTooLargeError, match="51 bytes exceeds the limit of 50"):
        waiting.check(bytes(51))
