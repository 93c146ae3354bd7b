"""The values users hold: refs, behaviours, envelopes, events, settings. Floor F1: pure."""

from casty_trio.model.address import ActorAddress as ActorAddress
from casty_trio.model.allocation import (
    AllocationStrategy as AllocationStrategy,
    ExplicitShards as ExplicitShards,
    LeastShards as LeastShards,
    RendezvousHash as RendezvousHash,
    ShardHost as ShardHost,
)
from casty_trio.model.behavior import Behaviors as Behaviors
from casty_trio.model.broadcast import BroadcastRef as BroadcastRef
from casty_trio.model.client_events import (
    ClientEvent as ClientEvent,
    Connected as Connected,
    ContactPointAdded as ContactPointAdded,
    ContactPointRemoved as ContactPointRemoved,
    ContactPoints as ContactPoints,
    Disconnected as Disconnected,
    MessageDropped as MessageDropped,
)
from casty_trio.model.client_settings import ClientSettings as ClientSettings
from casty_trio.model.cluster_events import (
    ClusterClientEvent as ClusterClientEvent,
    ClusterClientUnreachable as ClusterClientUnreachable,
    ClusterClientUp as ClusterClientUp,
    ClusterEvent as ClusterEvent,
    ClusterState as ClusterState,
    LeaderChanged as LeaderChanged,
    MemberDowned as MemberDowned,
    MemberEvent as MemberEvent,
    MemberExited as MemberExited,
    MemberJoined as MemberJoined,
    MemberLeft as MemberLeft,
    MemberRemoved as MemberRemoved,
    MemberUp as MemberUp,
    MemberWeaklyUp as MemberWeaklyUp,
    ReachableMember as ReachableMember,
    TopologySnapshot as TopologySnapshot,
    UnreachableMember as UnreachableMember,
)
from casty_trio.model.cluster_settings import ClusterSettings as ClusterSettings
from casty_trio.model.context import ActorContext as ActorContext
from casty_trio.model.daemons import DaemonsRef as DaemonsRef
from casty_trio.model.detection import DetectorSettings as DetectorSettings, DetectorStatistics as DetectorStatistics
from casty_trio.model.entity import EntityInfo as EntityInfo
from casty_trio.model.entity_settings import EntitySettings as EntitySettings
from casty_trio.model.envelope import ShardEnvelope as ShardEnvelope
from casty_trio.model.events import (
    ActorFailed as ActorFailed,
    ActorRestarted as ActorRestarted,
    ActorStarted as ActorStarted,
    ActorStopped as ActorStopped,
    DeadLetter as DeadLetter,
    Event as Event,
    Lagged as Lagged,
    LinkLost as LinkLost,
    LoopBlocked as LoopBlocked,
    MailboxHighWater as MailboxHighWater,
    NodeGone as NodeGone,
    ShutdownHookFailed as ShutdownHookFailed,
    SpyEvent as SpyEvent,
    UnhandledMessage as UnhandledMessage,
)
from casty_trio.model.kinds import Behavior as Behavior
from casty_trio.model.lease import (
    Lease as Lease,
    LeaseAcquired as LeaseAcquired,
    LeaseEvent as LeaseEvent,
    LeaseFailed as LeaseFailed,
    LeaseLost as LeaseLost,
)
from casty_trio.model.mailbox import Mailbox as Mailbox
from casty_trio.model.member import Member as Member, MemberStatus as MemberStatus
from casty_trio.model.passivation import Passivation as Passivation
from casty_trio.model.pubsub import (
    ClientReceptionist as ClientReceptionist,
    Delivery as Delivery,
    PubSub as PubSub,
    Topic as Topic,
)
from casty_trio.model.ref import ActorRef as ActorRef
from casty_trio.model.registry_settings import (
    ReceptionistSettings as ReceptionistSettings,
    RegistrySettings as RegistrySettings,
)
from casty_trio.model.remembering import EntityStore as EntityStore, ShardClaim as ShardClaim
from casty_trio.model.services import (
    Deregister as Deregister,
    Find as Find,
    Listing as Listing,
    ReceptionistMessage as ReceptionistMessage,
    Register as Register,
    ServiceEntry as ServiceEntry,
    ServiceInstance as ServiceInstance,
    ServiceKey as ServiceKey,
    Subscribe as Subscribe,
    Unsubscribe as Unsubscribe,
)
from casty_trio.model.settings import (
    AccessSettings as AccessSettings,
    ActorSettings as ActorSettings,
    LinkSettings as LinkSettings,
    ShutdownSettings as ShutdownSettings,
)
from casty_trio.model.shard_events import (
    HandOffAdvanced as HandOffAdvanced,
    HandOffFinished as HandOffFinished,
    HandOffStarted as HandOffStarted,
    RememberingFull as RememberingFull,
    ShardEvent as ShardEvent,
    ShardHomeChanged as ShardHomeChanged,
    TakeOverAdvanced as TakeOverAdvanced,
)
from casty_trio.model.sharding_settings import ShardingSettings as ShardingSettings
from casty_trio.model.signals import Signal as Signal, Terminated as Terminated
from casty_trio.model.singleton_settings import SingletonSettings as SingletonSettings
from casty_trio.model.statistics import (
    AccessStatistics as AccessStatistics,
    MembershipStatistics as MembershipStatistics,
    PeerStatistics as PeerStatistics,
    RegionState as RegionState,
    ShardingStatistics as ShardingStatistics,
    SystemStatistics as SystemStatistics,
)
from casty_trio.model.strategies import (
    AllForOneStrategy as AllForOneStrategy,
    Backoff as Backoff,
    Directive as Directive,
    OneForOneStrategy as OneForOneStrategy,
    RestForOneStrategy as RestForOneStrategy,
    SupervisionStrategy as SupervisionStrategy,
)
