"""Typed actors on Trio: supervised by structured concurrency, sharded over a cluster.

This file is the face: every public name, re-exported, and the composition root: it installs what stands above the cluster.
The floors, lowest first; a lower one never imports an upper one:

    errors < env < model < protocol | settings < link | tls | actors < remote < cluster
    < sharding | broadcasting | singleton | client < testing
"""

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
    OutcomeUnknownError as OutcomeUnknownError,
    OverloadedError as OverloadedError,
    ProtocolError as ProtocolError,
    ReplyDecodeError as ReplyDecodeError,
    RequestRefusedError as RequestRefusedError,
    SelfAskError as SelfAskError,
    SettingsError as SettingsError,
    ShardCountError as ShardCountError,
    StaleOwnerError as StaleOwnerError,
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
    ClusterEvent as ClusterEvent,
    ClusterSettings as ClusterSettings,
    ClusterState as ClusterState,
    DeadLetter as DeadLetter,
    DetectorSettings as DetectorSettings,
    DetectorStatistics as DetectorStatistics,
    Directive as Directive,
    EntityInfo as EntityInfo,
    EntitySettings as EntitySettings,
    EntityStore as EntityStore,
    Event as Event,
    Lagged as Lagged,
    LeaderChanged as LeaderChanged,
    LinkLost as LinkLost,
    LinkSettings as LinkSettings,
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
    NodeGone as NodeGone,
    OneForOneStrategy as OneForOneStrategy,
    Passivation as Passivation,
    PeerStatistics as PeerStatistics,
    ReachableMember as ReachableMember,
    RestForOneStrategy as RestForOneStrategy,
    ShardClaim as ShardClaim,
    ShardEnvelope as ShardEnvelope,
    ShutdownHookFailed as ShutdownHookFailed,
    ShutdownSettings as ShutdownSettings,
    Signal as Signal,
    SingletonSettings as SingletonSettings,
    SpyEvent as SpyEvent,
    SupervisionStrategy as SupervisionStrategy,
    SystemStatistics as SystemStatistics,
    Terminated as Terminated,
    TopologySnapshot as TopologySnapshot,
    UnhandledMessage as UnhandledMessage,
    UnreachableMember as UnreachableMember,
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
from casty_trio.settings import Settings as Settings
from casty_trio.sharding import Sharding as _Sharding, SqliteEntityStore as SqliteEntityStore
from casty_trio.singleton import Singletons as _Singletons

_install(_Sharding)
_install(_Broadcasting)
_install(_Singletons)
