"""The seam between the cluster and what stands above it. Floor F4.

Sharding and its siblings are floors of their own, so the cluster cannot import them. Each is an `Extension`: it says which
kind of behaviour it spawns and which frames it handles. The package's face, the composition root, installs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trio.lowlevel import checkpoint

from casty_trio.errors import UsageError
from casty_trio.link.held import Held
from casty_trio.model.address import ActorAddress
from casty_trio.model.events import Event
from casty_trio.model.kinds import Behavior
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.pubsub import ClientReceptionist, PubSub
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import ServiceEntry
from casty_trio.model.statistics import RegionState, ShardingStatistics
from casty_trio.protocol.wire import ShardTypeState
from casty_trio.remote import Connection, FrameHandler, Peer

if TYPE_CHECKING:
    from casty_trio.cluster.system import ClusteredActorSystem

__all__ = ["Extension", "install", "installed"]


class NoBehavior(Behavior[Any], frozen=True, eq=False):
    """What nobody spawns."""


class Extension:
    """A service of a cluster node; one instance per system, made when the system is."""

    behavior: ClassVar[type[Behavior[Any]]] = NoBehavior
    """The kind of behaviour that is spawned through this extension, if there is one."""

    seen_to: ClassVar[tuple[type[ActorRef[Any]], ...]] = ()
    """Kinds of its refs that send messages through the codec themselves, where ``check_serialization`` says so."""

    def __init__(self, system: ClusteredActorSystem) -> None:
        self.system = system

    def spawn(self, behavior: Any, name: str | None, mailbox: Mailbox | None) -> ActorRef[Any]:
        """Start what a behaviour of its kind describes, and give a ref to it."""
        raise UsageError(f"{type(self).__name__} spawns nothing")

    def start(self) -> None:
        """The block was entered: start what runs all the time."""
        return

    def peer_connected(self, uid: int) -> None:
        """There is a new connection to another node."""
        return

    def take_back(self, peer: Peer, lost: list[Held]) -> list[Held]:
        """Messages waited for a start of a node that is gone, and were never written; the rest is what it does not take."""
        return lost

    def client_subscribed(self, connection: Connection) -> None:
        """A client wants to know what the cluster looks like; of that it is told after this."""
        return

    def client_refreshed(self, connection: Connection) -> None:
        """A client that has subscribed wants to know whether it has missed any."""
        return

    def connection_ended(self, connection: Connection) -> None:
        """There is one connection less."""
        return

    def knows(self, address: ActorAddress) -> bool:
        """Whether that is the address of an actor that clients may reach."""
        return False

    @property
    def pubsub(self) -> PubSub | None:
        """The topics, if they are this extension's."""
        return None

    def client_receptionist(self, name: str) -> ClientReceptionist | None:
        """What clients may reach by path or topic, if that is this extension's."""
        return None

    def present(self) -> Iterable[Event]:
        """Further events that tell of the present."""
        return ()

    def services(self) -> tuple[ServiceEntry, ...]:
        """The actors that can be found by what they offer, sorted."""
        return ()

    def frames(self) -> Mapping[int, FrameHandler]:
        """Which kinds of frames are this extension's."""
        return {}

    def shard_types(self) -> tuple[ShardTypeState, ...]:
        """What clients have to know of sharded types."""
        return ()

    def cluster_changed(self) -> None:
        """Something is new about the members."""
        return

    def node_downed(self) -> None:
        """This start of the node is no member any more, and another will be: let go of what the cluster gave it."""
        return

    def node_left(self) -> None:
        """The node is no member any more, and will be none again, though its block may go on."""
        return

    @property
    def hosts_nothing(self) -> bool:
        """Whether nothing of it runs here any more that another member would start when this one is gone."""
        return True

    async def freed(self) -> None:
        """Wait until that may have changed."""
        await checkpoint()

    async def hand_over(self) -> None:
        """The node is about to leave: give to others what can be given, in limited time."""
        return

    def sharding_statistics(self, shard_type: str) -> ShardingStatistics | None:
        """What is counted of a sharded type, if this extension knows it."""
        return None

    def region_state(self, shard_type: str) -> RegionState | None:
        """The entities of a sharded type that run here, if this extension knows it."""
        return None

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any] | None:
        """The ref of an entity, if this extension knows the type."""
        return None

    def resolve_broadcast(self, name: str) -> ActorRef[Any] | None:
        """The ref of a behaviour that runs on every member, if this extension has such."""
        return None

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes] | None:
        """A ref as it is written to any peer, if it is one of this extension's own kind."""
        return None


_installed: dict[type[Extension], None] = {}


def install(extension: type[Extension]) -> None:
    """Give every system that is made from now on a service of this kind; for the package's face. Twice is once."""
    _installed[extension] = None


def installed() -> tuple[type[Extension], ...]:
    """The kinds of services that systems get."""
    return tuple(_installed)
