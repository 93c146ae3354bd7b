"""The ref that stands for one actor on every member. Floor F5."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from trio.lowlevel import checkpoint

from casty_trio.actors.ask import AskSlot
from casty_trio.actors.refs import AskableRef, WatchableRef
from casty_trio.errors import AskError, AskTimeoutError, BroadcastAskError, BroadcastAskTimeoutError, EncodeError
from casty_trio.model.address import ActorAddress
from casty_trio.model.broadcast import BroadcastRef
from casty_trio.model.checks import check_seconds
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from casty_trio.broadcasting.extension import Broadcasting
    from casty_trio.cluster import ClusteredActorSystem

__all__ = ["EveryRef"]

R = TypeVar("R")

NOBODY = "no member of the cluster is up here"
"""Why a message goes to nobody at all."""


class EveryRef(BroadcastRef[Any]):
    """A ref by name alone: good on every node, whether or not the actor runs there."""

    __slots__ = ("_broadcasting", "name")

    def __init__(self, broadcasting: Broadcasting, name: str) -> None:
        self._broadcasting = broadcasting
        self.name: str = name

    @property
    def address(self) -> ActorAddress:
        return ActorAddress(self._system.name, f"/{self.name}")

    @property
    def _system(self) -> ClusteredActorSystem:
        return self._broadcasting.system

    def tell(self, message: Any) -> None:
        there, here = self._actors()
        for ref in there:  # these first: what cannot be encoded reaches nobody
            ref.tell(message)
        for ref in here:
            ref.tell(self._for_here(message))
        if not there and not here:
            self._system.dead_letter(message, self, NOBODY)

    async def send(self, message: Any) -> None:
        there, here = self._actors()
        if there:
            self._system.codec.encode(message, self._system.write_ref)  # what cannot be encoded reaches nobody
        copies = [(ref, self._for_here(message)) for ref in here]
        if not there and not here:
            await checkpoint()
            self._system.dead_letter(message, self, NOBODY)
            return
        failed: list[EncodeError] = []
        async with trio.open_nursery() as nursery:  # all at once, for a slow member holds up nobody but the sender
            for ref in there:
                nursery.start_soon(_send, ref, message, failed)
            for ref, copy in copies:
                nursery.start_soon(_send, ref, copy, failed)
        if failed:
            raise failed[0]

    async def ask_each(
        self, msg_factory: Callable[[ActorRef[R]], Any], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]:
        check_seconds("timeout", timeout)
        members = self._broadcasting.members_up()
        if not members:
            await checkpoint()
            raise BroadcastAskError(f"{self.path} cannot be asked: {NOBODY}")
        actors = [self._broadcasting.actor_of(member, self.name) for member in members]
        slots: list[AskSlot] = []
        try:
            for member, ref in zip(members, actors, strict=True):
                slots.append(self._open(member, ref, msg_factory, timeout))
            if watch:
                _watch(actors, slots)
            await _wait_all(slots)
        finally:
            for ref, slot in zip(actors, slots, strict=False):
                if not slot.closed:
                    slot.abandon()
                if watch and isinstance(ref, WatchableRef):
                    ref.remove_watcher(slot)
        return self._replies(members, slots)

    def _open(
        self, member: Member, ref: AskableRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], timeout: float
    ) -> AskSlot:
        if member.uid == self._system.uid:
            return self._system.open_ask(ref, lambda reply_to: self._for_here(msg_factory(reply_to)), timeout)
        return self._system.open_ask(ref, msg_factory, timeout)

    def _replies(self, members: tuple[Member, ...], slots: list[AskSlot]) -> tuple[Any, ...]:
        replies: dict[Any, Any] = {}
        missing: dict[Any, AskError] = {}
        for member, slot in zip(members, slots, strict=True):
            try:
                replies[member] = slot.result()
            except AskError as error:
                missing[member] = error
        if not missing:
            return tuple(replies.values())
        late = all(isinstance(error, AskTimeoutError) for error in missing.values())
        kind = BroadcastAskTimeoutError if late else BroadcastAskError
        why = "; ".join(f"{member.node_id}: {error}" for member, error in missing.items())
        raise kind(f"{len(replies)} of {len(members)} members have answered {self.path}: {why}", replies, missing)

    def _actors(self) -> tuple[list[AskableRef[Any]], list[AskableRef[Any]]]:
        """The actors of the other members, and the one of this node."""
        there: list[AskableRef[Any]] = []
        here: list[AskableRef[Any]] = []
        for member in self._broadcasting.members_up():
            ours = member.uid == self._system.uid
            (here if ours else there).append(self._broadcasting.actor_of(member, self.name))
        return there, here

    def _for_here(self, message: Any) -> Any:
        """The message as this node's own actor gets it."""
        return self._system.checked.copy(message) if self._system.check_serialization else message


async def _send(ref: ActorRef[Any], message: Any, failed: list[EncodeError]) -> None:
    try:
        await ref.send(message)
    except EncodeError as error:
        failed.append(error)


async def _wait_all(slots: list[AskSlot]) -> None:
    waited = False
    for slot in slots:
        if not slot.closed:
            waited = True
            await slot.wait_closed()
    if not waited:
        await checkpoint()


def _watch(actors: list[AskableRef[Any]], slots: list[AskSlot]) -> None:
    for ref, slot in zip(actors, slots, strict=True):
        if isinstance(ref, WatchableRef):
            ref.add_watcher(slot)
