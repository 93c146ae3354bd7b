"""Which stream a message takes: straight to the node where its entity lives, or through the contact. Floor: client.

Where shards live, the cluster's state tells. What lives nowhere yet, or on the contact, or on a node that takes no clients
or could not be reached a short while ago, goes through the contact, which passes it on.

A shard changes its stream only when nothing can be on its way on the old one that a new message might overtake: when the
last message was an ask that has been answered, or after a pause.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

from casty_trio.client.direct import DirectStream
from casty_trio.client.stream import ClientStream
from casty_trio.model.address import ActorAddress
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.member import Member
from casty_trio.model.strategies import Backoff
from casty_trio.protocol.shards import shard_of

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["Pin", "Routes", "Stream"]

SETTLED: Final = 2.0
"""After so many seconds what was told before has arrived, or never will."""

SHUNNED: Final = Backoff(10.0, 600.0, jitter=0.2)
"""How long a node that could not be reached is left alone; the longer, the more often it was in vain."""

Stream = ClientStream | DirectStream


class Pin:
    """The stream that a shard's messages take now, and whether they may take another."""

    __slots__ = ("_ask", "_told_at", "free", "stream")

    def __init__(self, stream: Stream, now: float) -> None:
        self.stream: Stream = stream
        self.free: bool = False
        self._told_at = now
        self._ask = 0

    def use(self, now: float, ask: int) -> None:
        """Another message takes it; ``ask`` is its number, if it is one."""
        self._told_at, self._ask, self.free = now, ask, False

    def answered(self, ask: int) -> None:
        """An ask has its reply: if it was the last message, all have arrived."""
        self.free = self.free or ask == self._ask

    def may_change(self, now: float) -> bool:
        """Whether nothing can be overtaken that went this way."""
        if self.free:
            return True
        since = max(self._told_at, self.stream.flushed_at)
        return not self.stream.held and now - since >= SETTLED


class Routes:
    """All streams of a client but the one to its contact.

    Attributes:
        spread: the types that are not all on the contact, or were not once, and since when.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._homes: dict[str, tuple[Member | None, ...]] = {}  # of all types
        self.spread: dict[str, float] = {}
        self._contact = 0
        self._members: dict[int, Member] = {}
        self._direct: dict[int, DirectStream] = {}
        self._pins: dict[tuple[str, int], Pin] = {}
        self._shunned: dict[int, tuple[int, float]] = {}  # how often in vain, and until when it is left alone
        self._leaving = False
        self._empty = anyio.Event()

    def __len__(self) -> int:
        return len(self._direct)

    def update(self, topology: TopologySnapshot, contact: int, role: str = "") -> None:
        """Take over what a contact has told; ``contact`` is its uid, ``role`` what those have that take clients."""
        silent = {member.uid for member in topology.unreachable}
        self._contact = contact
        taking = [member for member in topology.members if role in ("", *member.roles)]
        self._members = {member.uid: member for member in taking if member.uid not in silent}
        known, self._homes, now = self._homes, dict(topology.shard_homes), anyio.current_time()
        for name, homes in self._homes.items():
            if name not in self.spread and any(home is not None and home.uid != contact for home in homes):
                self.spread[name] = now if name in known else -math.inf
        self.spread = {name: since for name, since in self.spread.items() if name in self._homes}
        self._pins = {key: pin for key, pin in self._pins.items() if key[0] in self._homes}
        self._shunned = {uid: shunned for uid, shunned in self._shunned.items() if uid in self._members}
        for uid, stream in list(self._direct.items()):
            if uid not in self._members:
                stream.give_up("the node cannot be reached, has left, or takes no clients")

    def entity(self, shard_type: str, entity_id: str, num_shards: int, ask: int) -> Stream:
        """The stream for a message to an entity."""
        since = self.spread.get(shard_type)
        if since is None:
            return self._client.stream
        homes = self._homes[shard_type]
        if len(homes) != num_shards:
            return self._client.stream
        key = (shard_type, shard_of(entity_id, num_shards))
        now, pin = anyio.current_time(), self._pins.get(key)
        if pin is None:  # what was told before the type was spread went to the contact
            unsettled = now - since < SETTLED
            pin = self._pins[key] = Pin(self._client.stream if unsettled else self._to(homes[key[1]]), now)
        elif pin.may_change(now):
            pin.stream = self._to(homes[key[1]])
        pin.use(now, ask)
        asked = self._client.asks.get(ask)
        if asked is not None:
            asked.pin = pin
        return pin.stream

    def node(self, address: ActorAddress) -> Stream:
        """The stream for a message to what lives on a node: a reply ref of it, say."""
        member = self._members.get(address.uid)
        if member is None and not address.uid:
            place = (address.host, address.port)
            member = next((each for each in self._members.values() if each.address == place), None)
        return self._to(member)

    def ended(self, stream: DirectStream, *, worked: bool) -> None:
        """A stream carries nothing any more."""
        uid = stream.member.uid
        self.parted(stream)
        if self._direct.get(uid) is stream:
            del self._direct[uid]
        if worked:
            self._shunned.pop(uid, None)
        else:
            times = self._shunned.get(uid, (0, 0.0))[0] + 1
            pause = SHUNNED.delay(times, self._client.env.rng)
            self._shunned[uid] = (times, anyio.current_time() + pause)
        if not self._direct:
            self._empty.set()

    def parted(self, stream: DirectStream) -> None:
        """A stream takes nothing more: what it did not write goes through the contact."""
        for pin in self._pins.values():
            if pin.stream is stream:
                pin.stream = self._client.stream
                pin.use(anyio.current_time(), 0)

    def close(self) -> None:
        """Send what is queued on each stream, and say goodbye there."""
        self._leaving = True
        for stream in list(self._direct.values()):
            stream.close()

    async def wait_closed(self) -> None:
        """Wait until all have ended."""
        while self._direct:
            self._empty = anyio.Event()
            await self._empty.wait()

    def _to(self, member: Member | None) -> Stream:
        client = self._client
        if member is None or member.uid == self._contact or member.uid not in self._members:
            return client.stream
        stream = self._direct.get(member.uid)
        if stream is not None:
            return stream
        shunned = self._shunned.get(member.uid)
        if self._leaving or (shunned is not None and anyio.current_time() < shunned[1]):
            return client.stream
        self._direct[member.uid] = stream = DirectStream(client, self, member)
        client.start_soon(stream.run, f"casty_trio client (stream to {member.node_id})")
        return stream
