"""What a system counts. Floor F1: frozen records, as ``statistics()`` returns them."""

from __future__ import annotations

import msgspec

from casty_trio.model.detection import DetectorStatistics

__all__ = [
    "AccessStatistics",
    "MembershipStatistics",
    "PeerStatistics",
    "RegionState",
    "ShardingStatistics",
    "SystemStatistics",
]


class MembershipStatistics(msgspec.Struct, frozen=True):
    """A snapshot of what a node counts about membership.

    Attributes:
        versions: how often what the members agree on has changed here; it stands still while nothing happens.
        messages: how often other nodes were told something about membership, their watching of each other included.
        bytes: how many bytes that were.
        detector: what its watch over others counts.
    """

    versions: int
    messages: int
    bytes: int
    detector: DetectorStatistics


class ShardingStatistics(msgspec.Struct, frozen=True):
    """A snapshot of what a node knows and counts of one sharded type.

    Attributes:
        shard_type: its name.
        num_shards: into how many shards its ids are hashed.
        coordinator: the node id of the member that decides where shards are; "" while there is none.
        hosted: for each shard that is hosted here, how many of its entities run.
        entities: how many run here altogether.
        homeless: how many shards have no home that is known here, or are on their way to another.
        held: how many messages wait for such shards, or for the store of remembered entities.
        dropped: how many there was no room for where those wait, since the type was spawned.
        sent: how many messages went to other nodes.
        strays: how many of another node were for a shard that is not here any more, and became dead letters.
        kept: how many ids this node keeps for the owners of shards, with ``remember_entities=True``.
        unremembered: how many ids of entities here were not remembered, for there are too many, or they are too long.
    """

    shard_type: str
    num_shards: int
    coordinator: str
    hosted: dict[int, int]
    entities: int
    homeless: int
    held: int
    dropped: int
    sent: int
    strays: int
    kept: int
    unremembered: int


class RegionState(msgspec.Struct, frozen=True):
    """The entities of one sharded type that run on a node.

    Attributes:
        shard_type: its name.
        shards: for each shard that is hosted there, the ids of its entities that run, sorted.
    """

    shard_type: str
    shards: dict[int, tuple[str, ...]]


class SystemStatistics(msgspec.Struct, frozen=True):
    """A snapshot of a system's counters. ``sent == handled + dead + queued`` holds between any two tasks' steps.

    Attributes:
        actors: how many live now.
        sent: messages given to local actors, by `tell`, `send`, `ask` or a peer, and by themselves with a timer or stash.
        handled: messages a handler was called with.
        dead: messages that became dead letters instead.
        queued: messages waiting in mailboxes.
        asks: asks of this system's callers that wait for their reply.
        dead_letters: all dead letters, late replies and mail for strangers included.
    """

    actors: int
    sent: int
    handled: int
    dead: int
    queued: int
    asks: int
    dead_letters: int


class AccessStatistics(msgspec.Struct, frozen=True):
    """A snapshot of what a node counts at its door.

    Attributes:
        connections: how many are open now, after their handshake.
        handshaking: how many are shaking hands now.
        accepted: handshakes that ended well, since the node began to listen.
        refused: those that did not, by the code of their `HandshakeError`; ``crowded`` are those that had to give way.
        overloaded: asks that were refused because their client had too many open.
        slowed: how often a client had to wait because it sent too fast.
    """

    connections: int
    handshaking: int
    accepted: int
    refused: dict[str, int]
    overloaded: int
    slowed: int


class PeerStatistics(msgspec.Struct, frozen=True):
    """A snapshot of what a node has to do with another one.

    Attributes:
        node_id: the other node's name; its address before it was reached.
        host: where it is dialled.
        port: likewise.
        uid: the start of it that we are, or were last, connected with; 0 for none.
        connected: whether there is a connection.
        dials: how often it was dialled.
        held: messages that wait for a connection.
        held_bytes: how many bytes they are.
        queued_bytes: bytes that wait to be written to the connection there is.
        asks: our asks that it has not answered.
        watching: our watches of its actors.
        watched: our actors that it watches.
    """

    node_id: str
    host: str
    port: int
    uid: int
    connected: bool
    dials: int
    held: int
    held_bytes: int
    queued_bytes: int
    asks: int
    watching: int
    watched: int
