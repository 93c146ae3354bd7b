"""Behaviours: what an actor does with its next message, as values. Floor F1: no tasks, no clock.

A behaviour is a frozen value. State lives in the closure of its handler: a handler returns the behaviour for the next
message, so one that raises or is cancelled has changed nothing. They are msgspec structs because a counting actor makes one
per message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from casty_trio.model.allocation import AllocationStrategy
from casty_trio.model.annotations import factory_message_types
from casty_trio.model.checks import (
    MOST_SHARDS,
    check_callable,
    check_count,
    check_flag,
    check_given,
    check_hook,
    check_instance,
    check_role,
    check_seconds,
    refuse,
)
from casty_trio.model.daemons import DAEMONS_MOST, index_of
from casty_trio.model.events import SpyEvent
from casty_trio.model.kinds import (
    SAME,
    STOPPED,
    UNHANDLED,
    Behavior,
    BoundFactory,
    Broadcasted,
    Daemons,
    Discoverable,
    Factory,
    Handler,
    Hook,
    Hooks,
    Receive,
    RestartHook,
    Setup,
    Sharded,
    SignalHandler,
    Singleton,
    Special,
    Spied,
    Supervised,
    WithLifecycle,
    behavior_message_types,
    is_spread,
)
from casty_trio.model.lease import Lease
from casty_trio.model.passivation import Passivation
from casty_trio.model.ref import ActorRef
from casty_trio.model.remembering import EntityStore
from casty_trio.model.services import ServiceKey, check_key
from casty_trio.model.strategies import SupervisionStrategy

__all__ = [
    "Behavior",
    "Behaviors",
    "BoundFactory",
    "Broadcasted",
    "Daemons",
    "Discoverable",
    "Receive",
    "Setup",
    "Sharded",
    "Singleton",
    "Special",
]

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Behaviors:
    """The behaviours there are. Each function returns a value to spawn, or to return from a handler."""

    __slots__ = ()

    @staticmethod
    def receive(handler: Handler[M], on_signal: SignalHandler[M] | None = None) -> Behavior[M]:
        """Handle messages with ``handler(ctx, message)``, one at a time, in the order they came.

        Parameters:
            handler: a plain function or a coroutine function. It returns the behaviour for the next message, or
                `same()` or None to keep this one. A plain one costs no coroutine; a coroutine may wait, and holds up the
                actor's other mail while it does.
            on_signal: ``on_signal(ctx, signal)`` gets `Terminated` of the actors that this one watches, in the same turn; a
                watcher without one stops with `DeathPactError`.

        Example:
            >>> def counter(total: int = 0) -> Behavior[int]:
            ...     def receive(ctx: ActorContext[int], amount: int) -> Behavior[int]:
            ...         return counter(total + amount)
            ...     return Behaviors.receive(receive)
        """
        return Receive(handler, on_signal)

    @staticmethod
    def setup(factory: Factory[M]) -> Behavior[M]:
        """Make the behaviour inside the actor's own task: ``factory(ctx)`` runs before the first message.

        Parameters:
            factory: a plain function or a coroutine function that returns the behaviour to begin with.

        Example:
            >>> def parent() -> Behavior[str]:
            ...     def begin(ctx: ActorContext[str]) -> Behavior[str]:
            ...         worker = ctx.spawn(Behaviors.receive(lambda ctx, job: None), "worker")
            ...         return Behaviors.receive(lambda ctx, job: worker.tell(job))
            ...     return Behaviors.setup(begin)
        """
        return Setup(factory)

    @staticmethod
    def same() -> Behavior[Any]:
        """Keep the present behaviour."""
        return SAME

    @staticmethod
    def stopped() -> Behavior[Any]:
        """Stop the actor after this message; mail that is left becomes dead letters."""
        return STOPPED

    @staticmethod
    def unhandled() -> Behavior[Any]:
        """Keep the present behaviour, and publish the message as `UnhandledMessage`."""
        return UNHANDLED

    @staticmethod
    def ignore() -> Behavior[Any]:
        """Take every message, and do nothing with it."""
        return IGNORE

    @staticmethod
    def supervise(behavior: Behavior[M], strategy: SupervisionStrategy) -> Behavior[M]:
        """Decide what becomes of the actor when a handler, a setup or a hook of it raises.

        Parameters:
            behavior: what is supervised; with any other wrappers, in any order.
            strategy: `OneForOneStrategy`, `AllForOneStrategy` or `RestForOneStrategy`. Of two around one behaviour the inner
                one decides, and `Directive.escalate` asks the outer one.

        Example:
            >>> from casty_trio.model.strategies import OneForOneStrategy
            >>> worker = Behaviors.receive(lambda ctx, job: job())
            >>> supervised = Behaviors.supervise(worker, OneForOneStrategy(max_restarts=5, within=10.0))

        Raises:
            SettingsError: the strategy is none of these, or ``behavior`` no behaviour.
        """
        check_given("behavior", behavior, Behavior)
        check_given("strategy", strategy, SupervisionStrategy)
        return Supervised(behavior, strategy)

    @staticmethod
    def with_lifecycle(
        behavior: Behavior[M],
        *,
        pre_start: Hook | None = None,
        post_stop: Hook | None = None,
        pre_restart: RestartHook | None = None,
        post_restart: Hook | None = None,
    ) -> Behavior[M]:
        """Run functions, plain or coroutine functions, at the turns of the actor's life.

        Parameters:
            behavior: the behaviour; with any other wrappers, in any order.
            pre_start: ``pre_start(ctx)``, before the first behaviour is in place.
            post_stop: ``post_stop(ctx)``, when the actor ends for any reason; its children have ended before.
            pre_restart: ``pre_restart(ctx, failure)``, when a strategy has decided on a restart; the children still live.
            post_restart: ``post_restart(ctx)``, after the children have ended, before the first behaviour is in place again.

        A hook that raises is a failure like any other. A hook of an actor that ends is cancelled when it takes longer than
        ``ActorSettings.hook_timeout``.

        Raises:
            SettingsError: a hook is no function, or ``behavior`` no behaviour.
        """
        check_given("behavior", behavior, Behavior)
        hooks = Hooks(pre_start, post_stop, pre_restart, post_restart)
        for name in hooks.__struct_fields__:
            check_hook(name, getattr(hooks, name))
        return WithLifecycle(behavior, hooks)

    @staticmethod
    def spy(behavior: Behavior[M], observer: ActorRef[SpyEvent], *, spy_children: bool = False) -> Behavior[M]:
        """Tell an actor of every message this one gets, before it is handled, as a `SpyEvent`.

        Parameters:
            behavior: the behaviour; with any other wrappers, in any order.
            observer: who is told.
            spy_children: whether it is told of the messages of this actor's children, and theirs, as well.

        Raises:
            SettingsError: ``behavior`` is no behaviour, the observer no ref, or ``spy_children`` neither True nor False.
        """
        check_given("behavior", behavior, Behavior)
        check_given("observer", observer, ActorRef)
        check_flag("spy_children", spy_children)
        return Spied(behavior, observer, spy_children)

    @staticmethod
    def discoverable(behavior: Behavior[M], *, key: ServiceKey[M]) -> Behavior[M]:
        """Register the actor under a key for as long as it lives, so that all nodes and clients of the cluster find it.

        Parameters:
            behavior: the behaviour; with any other wrappers, in any order. On a node its handler tells in its annotations
                which messages it takes, for they come from other nodes.
            key: the service that it offers. Two keys are two wrappers.

        Raises:
            SettingsError: ``key`` is no `ServiceKey`.

        Example:
            >>> ECHO: ServiceKey[str] = ServiceKey("echo")
            >>> def echo() -> Behavior[str]:
            ...     def receive(ctx: ActorContext[str], text: str) -> None: ...
            ...     return Behaviors.receive(receive)
            >>> service = Behaviors.discoverable(echo(), key=ECHO)
        """
        check_given("behavior", behavior, Behavior)
        check_key(key)
        if is_spread(behavior):
            refuse("behavior", behavior, "the behaviour of one actor; wrap the one inside")
        return Discoverable(behavior, key)

    @overload
    @staticmethod
    def sharded(
        factory: Callable[[str], Behavior[M]],
        *,
        num_shards: int = 100,
        role: str | None = None,
        proxy: bool = False,
        extract_entity_id: None = None,
        extract_message: None = None,
        passivation: Passivation | None = None,
        remember_entities: EntityStore | bool = False,
        allocation: AllocationStrategy | None = None,
        stop_message: object = None,
    ) -> Sharded[M]: ...
    @overload
    @staticmethod
    def sharded(
        factory: Callable[[str], Behavior[M]],
        *,
        num_shards: int = 100,
        role: str | None = None,
        proxy: bool = False,
        extract_entity_id: Callable[[M], str],
        extract_message: None = None,
        passivation: Passivation | None = None,
        remember_entities: EntityStore | bool = False,
        allocation: AllocationStrategy | None = None,
        stop_message: object = None,
    ) -> Behavior[M]: ...
    @overload
    @staticmethod
    def sharded(
        factory: Callable[[str], Behavior[M]],
        *,
        num_shards: int = 100,
        role: str | None = None,
        proxy: bool = False,
        extract_entity_id: Callable[[T], str],
        extract_message: Callable[[T], M],
        passivation: Passivation | None = None,
        remember_entities: EntityStore | bool = False,
        allocation: AllocationStrategy | None = None,
        stop_message: object = None,
    ) -> Behavior[T]: ...

    @staticmethod
    def sharded(
        factory: Callable[[str], Behavior[Any]],
        *,
        num_shards: int = 100,
        role: str | None = None,
        proxy: bool = False,
        extract_entity_id: Callable[[Any], str] | None = None,
        extract_message: Callable[[Any], Any] | None = None,
        passivation: Passivation | None = None,
        remember_entities: EntityStore | bool = False,
        allocation: AllocationStrategy | None = None,
        stop_message: object = None,
    ) -> Any:
        """An actor per entity id, started by its first message; the ids are spread over ``num_shards`` shards.

        Parameters:
            factory: called with the entity id, returns that entity's first behaviour. The message types it handles are
                read from its return annotation (``-> Behavior[LoyaltyMsg]``).
            num_shards: into how many shards the ids are hashed; the same on every node and client, 1 to 65 536.
            role: only members with this role host entities, others route only; the same on every node.
            proxy: whether this node routes only.
            extract_entity_id: tells of a message of your own for which entity it is. With it, the type's ref on this node
                takes your messages as they are, beside envelopes. Left out, it takes `ShardEnvelope` only.
            extract_message: makes what the entity receives of a message of your own; left out, it receives that itself.
            passivation: which entities' actors are stopped by themselves, because nobody needs them or there are too many;
                left out, none is.
            remember_entities: True, or a store: entities live again where their shard comes to, without a message, after a
                crash, too. With True the coordinator and the two next-oldest members (with the role) keep the ids, of up
                to 100 000 entities of the type, until the whole cluster stops; with a store, for ever, and any number. An
                entity is forgotten when it passivates or stops by itself; one that fails is started again. Give all nodes
                the same.
            allocation: which member gets which shard; `LeastShards` when left out. That of the node that coordinates the
                type counts, the oldest member (with the role), so give all the same.
            stop_message: what an entity is told in the place of just being stopped, when it is passivated or its shard
                leaves the node. It has to return `stopped()` some time after, ``EntitySettings.stop_timeout`` at most.

        Raises:
            SettingsError: ``factory`` is no function, ``num_shards`` no whole number from 1 to 65 536, ``role`` no role,
                ``proxy`` neither True nor False, ``allocation`` no strategy, or another argument is not what it has to be.

        Example:
            >>> def cart(entity_id: str) -> Behavior[str]:
            ...     return Behaviors.receive(lambda ctx, item: None)
            >>> Behaviors.sharded(cart, num_shards=10).num_shards
            10
        """
        check_callable("factory", factory)
        check_count("num_shards", num_shards, 1, MOST_SHARDS)
        check_flag("proxy", proxy)
        check_hook("extract_entity_id", extract_entity_id)
        check_hook("extract_message", extract_message)
        if extract_message is not None and extract_entity_id is None:
            refuse("extract_message", extract_message, "left out, or given together with extract_entity_id")
        check_instance("passivation", passivation, Passivation)
        if not isinstance(remember_entities, bool | EntityStore):
            store = f"{EntityStore.__module__}.{EntityStore.__qualname__}"
            refuse("remember_entities", remember_entities, f"True, False or of class {store}")
        check_instance("allocation", allocation, AllocationStrategy)
        return Sharded[Any](
            factory,
            num_shards,
            factory_message_types(factory),
            role=check_role("role", role),
            proxy=proxy,
            allocation=allocation,
            extract_entity_id=extract_entity_id,
            extract_message=extract_message,
            passivation=passivation,
            stop_message=stop_message,
            remember_entities=remember_entities or None,
        )

    @staticmethod
    def daemons(
        factory: Callable[[int, int], Behavior[M]],
        count: int,
        *,
        role: str | None = None,
        proxy: bool = False,
        keep_alive: float = 10.0,
        allocation: AllocationStrategy | None = None,
        stop_message: object = None,
    ) -> Daemons[M]:
        """So many workers, numbered from 0, each alive exactly once in the cluster, and started without any message.

        Spawn it on each node, under the same name: they spread over the members, and a worker whose node leaves or crashes
        is started on another. One that fails is started again after ``EntitySettings.restart_least`` seconds, then twice as
        long, up to ``restart_most``. `spawn` gives a `DaemonsRef`, whose ``worker(index)`` reaches a worker wherever it is.

        Parameters:
            factory: called with the number of a worker and how many there are, returns that worker's first behaviour. The
                message types it handles are read from its return annotation (``-> Behavior[IndexerMsg]``).
            count: how many workers there are, 1 to 10 000; the same on every node.
            role: only members with this role have workers, others route only; the same on every node.
            proxy: whether this node routes only.
            keep_alive: how many seconds after a worker has stopped by itself it is started again, ``math.inf`` for never; a
                message starts it before.
            allocation: which member gets which worker, as shards of these numbers; `LeastShards` when left out, so that no
                two members differ by more than one.
            stop_message: what a worker is told in the place of just being stopped, when it moves. It has to return
                `stopped()` some time after, ``EntitySettings.stop_timeout`` at most.

        Raises:
            SettingsError: ``factory`` is no function, ``count`` no whole number from 1 to 10 000, ``keep_alive`` no positive
                number of seconds, or another argument is not what it has to be.

        Example:
            >>> def indexer(index: int, count: int) -> Behavior[str]:
            ...     return Behaviors.receive(lambda ctx, document: None)
            >>> Behaviors.daemons(indexer, 8).num_shards
            8
        """
        check_callable("factory", factory)
        check_count("count", count, 1, DAEMONS_MOST)
        check_flag("proxy", proxy)
        check_seconds("keep_alive", keep_alive, positive=True)
        check_instance("allocation", allocation, AllocationStrategy)
        return Daemons(
            lambda entity_id: factory(index_of(entity_id), count),
            count,
            factory_message_types(factory),
            role=check_role("role", role),
            proxy=proxy,
            allocation=allocation,
            stop_message=stop_message,
            keep_alive=keep_alive,
        )

    @staticmethod
    def broadcasted(behavior: Behavior[M]) -> Broadcasted[M]:
        """An actor on every node, all of which one message reaches: spawn it on each node, under the same name.

        Parameters:
            behavior: what each of them does with its first message. The message types are read from the annotation of the
                handler's parameter, or of the function that a `setup` was given.

        Raises:
            SettingsError: it is no behaviour, or one that is itself spread over the cluster.

        Example:
            >>> def listener() -> Behavior[str]:
            ...     def receive(ctx: ActorContext[str], news: str) -> None: ...
            ...     return Behaviors.receive(receive)
            >>> Behaviors.broadcasted(listener()).message_types
            (<class 'str'>,)
        """
        check_given("behavior", behavior, Behavior)
        if is_spread(behavior):
            refuse("behavior", behavior, "the behaviour of one actor; this one is spread over the cluster already")
        return Broadcasted(behavior, behavior_message_types(behavior))

    @staticmethod
    def singleton(
        behavior: Behavior[M], *, role: str | None = None, stop_message: object = None, lease: Lease | None = None
    ) -> Singleton[M]:
        """One actor in the whole cluster: spawn it on each node, under the same name; the oldest of them that is up runs it.

        `spawn` gives a ref that reaches the actor wherever it runs, and holds mail while it moves. The actor moves when its
        node leaves, or is removed from the cluster; what its state was is gone then, unless it was stored elsewhere.

        Parameters:
            behavior: what the actor does with its first message. The message types are read as `broadcasted` says.
            role: only nodes with this role run it; the others send to it. The same on every node.
            stop_message: what the actor is told in the place of just being stopped, when it moves in good order. It has to
                return `stopped()` some time after, ``SingletonSettings.stop_timeout`` at most.
            lease: what a node has to hold, beside, while it runs the actor: a guard against two sides of a cut that both go
                on, and against what a node does that was paused. The actor starts when the lease is had, and is stopped at
                once when it is lost; mail waits until it is had again. It is given back when the actor moves.

        Raises:
            SettingsError: it is no behaviour, or one that is itself spread over the cluster; the role is no text, or the
                lease no `Lease`.

        Example:
            >>> def scheduler() -> Behavior[str]:
            ...     def receive(ctx: ActorContext[str], job: str) -> None: ...
            ...     return Behaviors.receive(receive)
            >>> Behaviors.singleton(scheduler(), role="backend").message_types
            (<class 'str'>,)
        """
        check_given("behavior", behavior, Behavior)
        if is_spread(behavior):
            refuse("behavior", behavior, "the behaviour of one actor; this one is spread over the cluster already")
        check_role("role", role)
        check_instance("lease", lease, Lease)
        return Singleton(behavior, role, stop_message, behavior_message_types(behavior), lease)


def _ignore(_: object, message: object) -> None:
    """Do nothing with a message."""


IGNORE: Behavior[Any] = Receive(_ignore)
