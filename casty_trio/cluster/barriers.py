"""Barriers as a service of a node. Floor F4: drives the pure machine, and wakes who waits.

As with membership, what comes in is fed to the machine in the task that read it, and what it wants is done at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from casty_trio.actors.clockwork import Clockwork
from casty_trio.errors import (
    BarrierCountError,
    LinkClosedError,
    LinkFullError,
    SystemClosedError,
    WaitTimeoutError,
)
from casty_trio.model.cluster_events import ClusterState
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import rounds
from casty_trio.protocol.barrier import Barriers, Effect, GiveUp, Refuse, Release, Say
from casty_trio.protocol.frames import Kind
from casty_trio.remote import of_node

if TYPE_CHECKING:
    from casty_trio.cluster.member import MemberNode
    from casty_trio.remote import Connection

__all__ = ["BarrierService"]


class Call:
    """Somebody who waits at a barrier.

    Attributes:
        over: set when it is released, or cannot be.
        error: why it cannot be.
    """

    def __init__(self, barrier: str, n: int, timeout: float) -> None:
        self.barrier = barrier
        self.n = n
        self.timeout = timeout
        self.over: trio.Event = trio.Event()
        self.error: Exception | None = None

    def late(self) -> WaitTimeoutError:
        """What it ends with when its time is over."""
        return WaitTimeoutError(f"{self.n} parties have not come to {self.barrier!r} in {self.timeout:g} s")

    def end(self, error: Exception | None = None) -> None:
        """It goes on."""
        self.error = error
        self.over.set()


class BarrierService:
    """The barriers of one node; a new start of it has new ones."""

    def __init__(self, system: MemberNode) -> None:
        self._system = system
        self._machine = Barriers(system.uid)
        self._members: dict[int, Member] = {}
        self._calls: dict[int, Call] = {}
        self._numbers = 0
        self._clockwork = Clockwork(self._now, lambda: self._machine.next_wakeup, self._tick)
        self._closed: Exception | None = None

    async def run(self) -> None:
        """Wake the machine when its time has come; who waits when this ends waits in vain."""
        try:
            await self._clockwork.run()
        finally:
            self.close(SystemClosedError(f"{self._system.node_id} has stopped: nobody comes to its barriers any more"))

    async def wait(self, barrier: str, n: int, timeout: float) -> None:
        """Wait until ``n`` parties have come; see `ClusteredActorSystem.barrier`."""
        if self._closed is not None:
            await trio.lowlevel.checkpoint()
            raise _copy(self._closed)
        self._numbers += 1
        number = self._numbers
        call = self._calls[number] = Call(barrier, n, timeout)
        try:
            self._perform(self._machine.arrive(self._now(), number, barrier, n))
            with trio.move_on_after(timeout):
                await call.over.wait()
            if not call.over.is_set():
                await self._give_up(number, call)
            if call.error is not None:
                raise call.error
        finally:
            self._calls.pop(number, None)
            if not call.over.is_set():
                self._perform(self._machine.abandon(self._now(), number))

    async def _give_up(self, number: int, call: Call) -> None:
        withdrawn, effects = self._machine.withdraw(self._now(), number)
        self._perform(effects)
        if withdrawn:
            call.end(call.late())
        else:  # its round is being decided, and it has a part in that
            await call.over.wait()

    def begin_anew(self) -> None:
        """The node is another member from now on."""
        self._machine = Barriers(self._system.uid)
        self._members = {}
        self._closed = None

    def close(self, error: Exception) -> None:
        """The node is no member any more: whoever waits, or comes, waits in vain."""
        if self._closed is None:
            self._closed = error
        calls, self._calls = self._calls, {}
        for number, call in calls.items():
            call.end(_copy(error))
            self._perform(self._machine.abandon(self._now(), number))

    def on_change(self, state: ClusterState) -> None:
        """Something is new about the members."""
        if not state.members:
            return  # the node is out, and knows no more
        self._members = {member.uid: member for member in state.members}
        silent = [member.uid for member in state.unreachable]
        self._perform(self._machine.set_members(self._now(), self._members, _host(state.members), silent))

    def on_frame(self, connection: Connection, body: memoryview) -> None:
        """What another node says about barriers.

        Raises:
            ProtocolError: it is nothing of that kind, or a client says it.
        """
        of_node(connection)
        word = rounds.unpack(body)
        self._perform(self._machine.receive(self._now(), connection.link.peer.uid, word))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(uid, word):
                    self._say(uid, word)
                case Release(party):
                    self._calls[party].end()  # who waits no more was abandoned, and is not released
                case GiveUp(party):
                    self._calls[party].end(self._calls[party].late())
                case Refuse(party, expected):
                    call = self._calls[party]
                    text = f"others wait at {call.barrier!r} for {expected} parties, not for {call.n}"
                    call.end(BarrierCountError(text))
        self._clockwork.wake()

    def _say(self, uid: int, word: rounds.Word) -> None:
        """Say something, if there is a connection; what is not said now is said again."""
        member = self._members.get(uid)
        peer = self._system.peers.known(*member.address) if member is not None else None
        connection = peer.connection if peer is not None else None
        if connection is None or connection.link.peer.uid != uid:
            return
        with suppress(LinkClosedError, LinkFullError):
            connection.link.write(Kind.BARRIER, rounds.pack(word))

    def _now(self) -> float:
        return self._system.env.now()

    def _tick(self) -> None:
        self._perform(self._machine.tick(self._now()))


def _copy(error: Exception) -> Exception:
    """One of its own for each that raises it."""
    return type(error)(*error.args)


def _host(members: Iterable[Member]) -> int:
    """Who counts the parties: the oldest member that is up; where none is, the oldest that goes."""
    been_up = [member for member in members if member.up_number and member.status < MemberStatus.DOWN]
    first = min(been_up, key=lambda member: (member.status != MemberStatus.UP, member.age), default=None)
    return first.uid if first is not None else 0
