"""Members that have a sharded type in another shape: with another number of shards, or another role. Floor F1, pure.

The shape that is there already wins: no region that has had a plan is refused, and a coordinator gives way to it. Of shapes
that begin at once, the first is taken where one node coordinates both; else the role decides that comes first, and no role
is before all others. One that is not the coordinator's is refused, and has to have said so, before the coordinator decides.
"""

from __future__ import annotations

from casty_trio.protocol.homing import Hello, Refuse

__all__ = ["Rivals", "in_words", "refusal"]


def refusal(num_shards: int, role: str) -> Refuse:
    """What regions are told that do not have this shape."""
    return Refuse(f"others have it with {in_words(num_shards, role)}, and so has its coordinator")


def in_words(num_shards: int, role: str) -> str:
    """A shape, as errors name it."""
    return f"{num_shards} shards and {f'the role {role!r}' if role else 'no role'}"


class Rivals:
    """What a coordinator knows of shapes, as long as it does not decide.

    Attributes:
        own: members that have asked for the coordinator's own; whether they have had a plan.
        others: what others have said that have another.
    """

    def __init__(self, num_shards: int, role: str) -> None:
        self._shape = num_shards, role
        self.own: dict[int, bool] = {}
        self.others: dict[int, Hello] = {}

    def fits(self, word: Hello) -> bool:
        """Whether it is the coordinator's shape."""
        return self._shape == (word.num_shards, word.role)

    def forget(self, uid: int) -> None:
        """A member is gone."""
        self.own.pop(uid, None)
        self.others.pop(uid, None)

    def clear(self) -> None:
        """All are asked again."""
        self.own.clear()
        self.others.clear()

    def backed(self) -> bool:
        """Whether somebody with the coordinator's shape has had a plan."""
        return any(self.own.values())

    def stronger(self, *, backed: bool) -> Hello | None:
        """To whose shape it has to give way, when all have been heard; ``backed`` when its own is in use."""
        first = min(self.others.values(), key=lambda word: word.role, default=None)
        return first if first is not None and first.role < self._shape[1] and not backed else None
