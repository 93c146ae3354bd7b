"""Typed actors on Trio: supervised by structured concurrency, sharded over a cluster.

This file is the face: every public name, re-exported, and the composition root: it installs what stands above the cluster.
The floors, lowest first; a lower one never imports an upper one:

    errors < env < model < protocol | settings < link | tls | actors < remote < cluster
    < sharding | broadcasting | receptionist | pubsub | client < testing
"""

from casty_trio import discovery as discovery
from casty_trio.actors import (
    ActorSystem as ActorSystem,
    ShutdownHook as ShutdownHook,
    SignalScope as SignalScope,
    shutdown_on_signals as shutdown_on_signals,
)
from casty_trio.broadcasting import Broadcasting as _Broadcasting
from casty_trio.client import ClientStatistics as ClientStatistics, ClusterClient as ClusterClient
from casty_trio.cluster import ClusteredActorSystem as ClusteredActorSystem, install as _install
from casty_trio.env import Disk as Disk, Env as Env, RealEnv as RealEnv
from casty_trio.errors import (
    ActorFailedError as ActorFailedError,
    ActorStoppedError as ActorStoppedError,
    AskError as AskError,
    AskTimeoutError as AskTimeoutError,
    BarrierCountError as BarrierCountError,
    BroadcastAskError as BroadcastAskError,
    BroadcastAskTimeoutError as BroadcastAskTimeoutError,
    CastyError as CastyError,
    ConnectError as ConnectError,
    DeathPactError as DeathPactError,
    DecodeError as DecodeError,
    DiscoveryError as DiscoveryError,
    EncodeError as EncodeError,
    HandshakeError as HandshakeError,
    HandshakeTimeoutError as HandshakeTimeoutError,
    InsecureListenerError as InsecureListenerError,
    InvalidNameError as InvalidNameError,
    LinkClosedError as LinkClosedError,
    LinkError as LinkError,
    LinkFullError as LinkFullError,
    MailboxFullError as MailboxFullError,
    MessageTooLargeError as MessageTooLargeError,
    NameInUseError as NameInUseError,
    NodeDownedError as NodeDownedError,
    NodeGoneError as NodeGoneError,
    NotSupportedOnClientError as NotSupportedOnClientError,
    OutcomeUnknownError as OutcomeUnknownError,
    OverloadedError as OverloadedError,
    ProtocolError as ProtocolError,
    ReconnectTimeoutError as ReconnectTimeoutError,
    ReplyDecodeError as ReplyDecodeError,
    RequestRefusedError as RequestRefusedError,
    SelfAskError as SelfAskError,
    SettingsError as SettingsError,
    ShardCountError as ShardCountError,
    StashFullError as StashFullError,
    SystemClosedError as SystemClosedError,
    UnknownActorError as UnknownActorError,
    UnknownMessageTypeError as UnknownMessageTypeError,
    UnknownTypeNameError as UnknownTypeNameError,
    UnsupportedTypeError as UnsupportedTypeError,
    UsageError as UsageError,
    WaitTimeoutError as WaitTimeoutError,
)
from casty_trio.model import (
    AccessSettings as AccessSettings,
    AccessStatistics as AccessStatistics,
    ActorAddress as ActorAddress,
    ActorContext as ActorContext,
    ActorFailed as ActorFailed,
    ActorRef as ActorRef,
    ActorRestarted as ActorRestarted,
    ActorSettings as ActorSettings,
    ActorStarted as ActorStarted,
    ActorStopped as ActorStopped,
    AllForOneStrategy as AllForOneStrategy,
    Backoff as Backoff,
    Behavior as Behavior,
    Behaviors as Behaviors,
    BroadcastRef as BroadcastRef,
    ClientEvent as ClientEvent,
    ClientSettings as ClientSettings,
    ClusterEvent as ClusterEvent,
    ClusterSettings as ClusterSettings,
    ClusterState as ClusterState,
    Connected as Connected,
    ContactPointAdded as ContactPointAdded,
    ContactPointRemoved as ContactPointRemoved,
    ContactPoints as ContactPoints,
    DeadLetter as DeadLetter,
    Delivery as Delivery,
    Deregister as Deregister,
    DetectorSettings as DetectorSettings,
    DetectorStatistics as DetectorStatistics,
    Directive as Directive,
    Disconnected as Disconnected,
    Event as Event,
    Find as Find,
    Lagged as Lagged,
    LeaderChanged as LeaderChanged,
    LinkLost as LinkLost,
    LinkSettings as LinkSettings,
    Listing as Listing,
    LoopBlocked as LoopBlocked,
    Mailbox as Mailbox,
    MailboxHighWater as MailboxHighWater,
    Member as Member,
    MemberDowned as MemberDowned,
    MemberEvent as MemberEvent,
    MemberExited as MemberExited,
    MemberJoined as MemberJoined,
    MemberLeft as MemberLeft,
    MemberRemoved as MemberRemoved,
    MembershipStatistics as MembershipStatistics,
    MemberStatus as MemberStatus,
    MemberUp as MemberUp,
    MemberWeaklyUp as MemberWeaklyUp,
    MessageDropped as MessageDropped,
    NodeGone as NodeGone,
    OneForOneStrategy as OneForOneStrategy,
    PeerStatistics as PeerStatistics,
    PubSub as PubSub,
    ReachableMember as ReachableMember,
    ReceptionistMessage as ReceptionistMessage,
    Register as Register,
    RegistrySettings as RegistrySettings,
    RestForOneStrategy as RestForOneStrategy,
    ServiceEntry as ServiceEntry,
    ServiceInstance as ServiceInstance,
    ServiceKey as ServiceKey,
    ShardEnvelope as ShardEnvelope,
    ShutdownHookFailed as ShutdownHookFailed,
    ShutdownSettings as ShutdownSettings,
    Signal as Signal,
    SpyEvent as SpyEvent,
    Subscribe as Subscribe,
    SupervisionStrategy as SupervisionStrategy,
    SystemStatistics as SystemStatistics,
    Terminated as Terminated,
    Topic as Topic,
    TopologySnapshot as TopologySnapshot,
    UnhandledMessage as UnhandledMessage,
    UnreachableMember as UnreachableMember,
    Unsubscribe as Unsubscribe,
)
from casty_trio.protocol.downing import (
    Decision as Decision,
    DownAll as DownAll,
    DowningStrategy as DowningStrategy,
    KeepLease as KeepLease,
    KeepMajority as KeepMajority,
    KeepOldest as KeepOldest,
    Situation as Situation,
    StaticQuorum as StaticQuorum,
)
from casty_trio.protocol.naming import message as message
from casty_trio.protocol.serializing import Serializer as Serializer, as_converter as as_converter
from casty_trio.pubsub import Topics as _Topics
from casty_trio.receptionist import Receptionist as _Receptionist
from casty_trio.settings import Settings as Settings
from casty_trio.sharding import Sharding as _Sharding

_install(_Sharding)
_install(_Broadcasting)
_install(_Receptionist)
_install(_Topics)
