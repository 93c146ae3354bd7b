"""Every setting and argument with every bad value: the error names the parameter, what it may be, and what it was (L14)."""

import math
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import trio

from casty_trio import (
    AccessSettings,
    ActorSettings,
    ActorSystem,
    Backoff,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    EntitySettings,
    Event,
    LinkSettings,
    Mailbox,
    OneForOneStrategy,
    Passivation,
    SettingsError,
    ShutdownSettings,
    SingletonSettings,
    SqliteEntityStore,
    UsageError,
)
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import make_client, make_node, open_shop

Row = tuple[str, Callable[[Any], object], str, list[Any]]
"""The parameter, what takes it, what the error says that it may be, and values it may not have."""


class Odd:
    """No number, no text, and of no class that anybody asks for."""

    def __repr__(self) -> str:
        return "<Odd>"


ODD = Odd()
NO_NUMBERS: list[Any] = ["1", b"1", True, False, ODD, math.nan, -math.inf, 1j]


def counts(least: int, most: int | None = None) -> tuple[str, list[Any]]:
    """What a whole number may be, and what is none."""
    more = [most + 1] if most is not None else []
    allowed = f"a whole number, {least} or more" if most is None else f"a whole number, {least} to {most}"
    return allowed, [*NO_NUMBERS, None, least - 1, least + 0.5, *more]


SECONDS = "seconds, 0 or more", [*NO_NUMBERS, -0.001]  # and None, where that does not stand for the usual
NO_TIME = SECONDS[0], [*SECONDS[1], None]
SOME_SECONDS = "seconds, more than 0", [*NO_NUMBERS, None, -1, 0, 0.0]
FLAG = "True or False", [0, 1, "yes", ODD]
NO_EVENTS: tuple[str, list[Any]] = ("Event or a subclass of it", [int, Exception, None, "DeadLetter", ODD])
HOST: tuple[str, list[Any]] = ("a text of at most 255 characters", [1, None, b"localhost", "x" * 256, True])
PORT = counts(0, 65_535)


def of_class(name: str) -> tuple[str, list[Any]]:
    return f"of class {name}", [{}, 5, "x", ODD]


def behavior(entity_id: str) -> Behavior[str]:
    return Behaviors.ignore()


def worker(index: int, count: int) -> Behavior[str]:
    return Behaviors.ignore()


def node(**settings: Any) -> ClusteredActorSystem:
    return ClusteredActorSystem(**{"name": "shop", "host": "127.0.0.1", "port": 0, "node_id": "node-1", **settings})


def client(**settings: Any) -> ClusterClient:
    return ClusterClient(**{"contact_points": [("127.0.0.1", 25_520)], "system_name": "shop", **settings})


def sharded(**arguments: Any) -> object:
    return Behaviors.sharded(behavior, **{"extract_entity_id": None, **arguments})


def keyword(what: Callable[..., object], name: str) -> Callable[[Any], object]:
    return lambda value: what(**{name: value})


def backoff(**settings: Any) -> Backoff:
    return Backoff(**{"initial": 1.0, "maximum": 2.0, **settings})


def spread() -> Iterator[Row]:
    """What is spread over a cluster."""
    passivation = of_class("casty_trio.model.passivation.Passivation")
    yield "passivation", lambda value: Behaviors.sharded(behavior, passivation=value), *passivation
    for name in ("extract_entity_id", "extract_message"):
        yield name, keyword(partial(sharded, extract_entity_id=str), name), "a function", [1, "x"]
    yield (
        "extract_message",
        lambda value: sharded(extract_message=value),
        "left out, or given together with extract_entity_id",
        [str],
    )
    yield "Passivation.idle", keyword(Passivation, "idle"), *SOME_SECONDS
    bad = [*counts(1)[1], -math.inf]
    yield "Passivation.limit", keyword(Passivation, "limit"), "a whole number, 1 or more, or math.inf", bad
    yield "count", lambda value: Behaviors.daemons(worker, value), *counts(1, 10_000)
    yield "keep_alive", lambda value: Behaviors.daemons(worker, 1, keep_alive=value), *SOME_SECONDS
    yield "proxy", lambda value: Behaviors.daemons(worker, 1, proxy=value), "True or False", [None, 1, "yes"]
    yield "SingletonSettings.retry", keyword(SingletonSettings, "retry"), f"{SOME_SECONDS[0]} and finite", SOME_SECONDS[1]
    yield "SingletonSettings.buffer", keyword(SingletonSettings, "buffer"), *counts(0)
    yield "SingletonSettings.stop_timeout", keyword(SingletonSettings, "stop_timeout"), *NO_TIME
    for name in ("lease_interval", "lease_timeout", "lease_lost_after"):
        allowed, bad = f"{SOME_SECONDS[0]} and finite", [*SOME_SECONDS[1], math.inf]
        yield f"SingletonSettings.{name}", keyword(SingletonSettings, name), allowed, bad
    lease = of_class("casty_trio.model.lease.Lease")
    yield "lease", lambda value: Behaviors.singleton(Behaviors.ignore(), lease=value), *lease
    role = "None or a name of at most 64 characters"
    yield "role", lambda value: Behaviors.singleton(Behaviors.ignore(), role=value), role, ["", 5, b"x", "x" * 65]
    yield "role", lambda value: Behaviors.sharded(behavior, role=value), role, ["", 5, ["x"]]
    yield "factory", lambda value: Behaviors.sharded(value), "a function", [None, 5, "cart", Behaviors.ignore()]
    yield "factory", lambda value: Behaviors.daemons(value, 1), "a function", [None, 5]
    kind = "of class casty_trio.model.kinds.Behavior"
    yield "behavior", lambda value: Behaviors.singleton(value), kind, [None, 5, behavior]
    store = "True, False or of class casty_trio.model.remembering.EntityStore"
    yield (
        "remember_entities",
        lambda value: Behaviors.sharded(behavior, remember_entities=value),
        store,
        [None, 1, 0, "x", 5],
    )
    yield "path", lambda value: SqliteEntityStore(value), "a path", [None, 5, b"x"]
    yield "env", lambda value: SqliteEntityStore("x", env=value), *of_class("casty_trio.env.Env")
    allowed, bad = "a number, 1 or more", [*NO_NUMBERS, None, 0.9]
    yield "EntitySettings.revive_rate", keyword(EntitySettings, "revive_rate"), allowed, bad
    finite = f"{SOME_SECONDS[0]} and finite"
    for name in ("restart_least", "restart_most", "keeper_timeout", "store_timeout"):
        yield f"EntitySettings.{name}", keyword(EntitySettings, name), finite, [*SOME_SECONDS[1], math.inf]
    least = lambda value: EntitySettings(restart_least=value, restart_most=1.0)  # noqa: E731 - as short as the others
    yield "EntitySettings.restart_least", least, "at most restart_most, 1 s", [1.5, 60.0]
    kept, wrong = "a whole number, 1 to 100000", [*NO_NUMBERS, None, 0, 1.5, 100_001, math.inf]
    yield "EntitySettings.remembered_most", keyword(EntitySettings, "remembered_most"), kept, wrong
    yield "EntitySettings.stop_timeout", keyword(EntitySettings, "stop_timeout"), *NO_TIME


def values() -> Iterator[Row]:
    """Settings that are values of their own."""
    yield "num_shards", lambda value: Behaviors.sharded(behavior, num_shards=value), *counts(1, 65_536)
    yield "Mailbox.capacity", Mailbox, "a whole number, 1 or more, or math.inf", counts(1)[1]
    yield "Mailbox.overflow", lambda value: Mailbox(1, value), "one of 'drop_new', 'drop_oldest', 'reject'", ["x", None, 1]
    link = {"max_frame": counts(1024, 2**31), "max_message": counts(65_536, 2**31), "queue": counts(4_194_304)}
    for name, (allowed, bad) in {**link, "handshake_timeout": SOME_SECONDS, "close_timeout": SOME_SECONDS}.items():
        yield f"LinkSettings.{name}", keyword(LinkSettings, name), allowed, bad
    for name in ("keep_alive", "gone_after"):
        yield f"LinkSettings.{name}", keyword(LinkSettings, name), *SOME_SECONDS
    bad = [*NO_NUMBERS, None, 0, 1.9]
    yield "LinkSettings.dead_after", keyword(LinkSettings, "dead_after"), "seconds, keep_alive or more", bad
    actors = {"batch": counts(1), "high_water": counts(1), "stash_capacity": counts(1), "logged_dead_letters": counts(0)}
    for name, (allowed, bad) in {**actors, "grace": NO_TIME, "hook_timeout": NO_TIME}.items():
        yield f"ActorSettings.{name}", keyword(ActorSettings, name), allowed, bad
    yield "ActorSettings.blocked_after", keyword(ActorSettings, "blocked_after"), SOME_SECONDS[0], [*NO_NUMBERS, -1, 0, 0.0]
    door = {"max_unauthenticated": counts(1), "max_connections": counts(1), "client_asks": counts(1)}
    for name, (allowed, bad) in {**door, "client_rate": counts(65_536)}.items():
        yield f"AccessSettings.{name}", keyword(AccessSettings, name), allowed, bad
    for phase in ("before_leave", "drain", "leave", "actors", "connections"):
        yield f"ShutdownSettings.{phase}", keyword(ShutdownSettings, phase), *NO_TIME
    yield "Backoff.initial", keyword(backoff, "initial"), f"{SOME_SECONDS[0]} and finite", [*SOME_SECONDS[1], math.inf]
    bad = [*NO_NUMBERS, None, 0.9, math.inf]
    yield "Backoff.maximum", keyword(backoff, "maximum"), "seconds, 1.0 (initial) or more and finite", bad
    yield "Backoff.factor", keyword(backoff, "factor"), "a number, 1 or more", [*NO_NUMBERS, None, 0.9]
    yield "Backoff.jitter", keyword(backoff, "jitter"), "a number from 0 to less than 1", [*NO_NUMBERS, None, -0.1, 1]
    yield "max_restarts", keyword(OneForOneStrategy, "max_restarts"), *counts(0)
    yield "within", keyword(OneForOneStrategy, "within"), *SOME_SECONDS
    yield "backoff", keyword(OneForOneStrategy, "backoff"), *of_class("casty_trio.model.strategies.Backoff")
    yield "decider", keyword(OneForOneStrategy, "decider"), "a function of an exception", [1, "stop"]
    yield "Conditions.delay", keyword(Conditions, "delay"), "the least and the most seconds", [5, (1,), (2, 1), ("a", "b")]
    yield "Conditions.cut", keyword(Conditions, "cut"), "a number from 0 to 1", [*NO_NUMBERS, -0.1, 1.1]
    yield "Conditions.window", keyword(Conditions, "window"), *counts(1)


def wrapped(wrap: Callable[..., object], **arguments: Any) -> object:
    return wrap(Behaviors.ignore(), **arguments)


def behaviors() -> Iterator[Row]:
    """What stands around a behaviour, and who hears of events."""
    what = "of class casty_trio.model.strategies.SupervisionStrategy"
    yield "strategy", lambda value: wrapped(Behaviors.supervise, strategy=value), what, [None, 5, OneForOneStrategy]
    kind, none = "of class casty_trio.model.kinds.Behavior", [None, 5, behavior]
    yield "behavior", lambda value: Behaviors.supervise(value, OneForOneStrategy()), kind, none
    yield "behavior", lambda value: Behaviors.with_lifecycle(value), kind, none
    yield "behavior", lambda value: Behaviors.spy(value, ActorSystem().dead_letters), kind, none
    for name in ("pre_start", "post_stop", "pre_restart", "post_restart"):
        yield name, keyword(partial(wrapped, Behaviors.with_lifecycle), name), "a function", [1, "x"]
    what, bad = "of class casty_trio.model.ref.ActorRef", [None, 5, print]
    yield "observer", lambda value: wrapped(Behaviors.spy, observer=value), what, bad
    nobody: Any = ActorSystem().dead_letters
    yield "spy_children", lambda value: wrapped(Behaviors.spy, observer=nobody, spy_children=value), *FLAG
    yield "ref", lambda value: ActorSystem().event_stream.subscribe(value, Event), what, bad
    yield "event_type", lambda value: ActorSystem().event_stream.subscribe(nobody, value), *NO_EVENTS


def hooks() -> Iterator[Row]:
    """What runs at the end of a system."""
    phases = "one of 'before-leave', 'drain', 'leave', 'actors', 'connections'"
    yield "phase", lambda value: ActorSystem().on_shutdown(value, print), phases, ["before_leave", "x", None, 1]
    hook = lambda value: ActorSystem().on_shutdown("leave", value)  # noqa: E731 - as short as the others
    yield "hook", hook, "a function without parameters", [None, 1, "x"]
    yield "timeout", lambda value: ActorSystem().on_shutdown("leave", print, timeout=value), *SECONDS


def systems() -> Iterator[Row]:
    """What systems and nodes are made with."""
    yield "settings", keyword(ActorSystem, "settings"), "Settings or ActorSettings", [*of_class("")[1], LinkSettings()]
    for make in (ActorSystem, node, client):
        yield "env", keyword(make, "env"), *of_class("casty_trio.env.Env")
    for make in (node, client):
        yield "link", keyword(make, "link"), *of_class("casty_trio.model.settings.LinkSettings")
        yield "tls", keyword(make, "tls"), *of_class("casty_trio.tls.config.Config")
        yield "converter", keyword(make, "converter"), *of_class("cattrs.converters.Converter")
        yield "messages", keyword(make, "messages"), "an iterable of message types", [None, 1, str, "x", b"x"]
    yield "access", keyword(node, "access"), *of_class("casty_trio.model.settings.AccessSettings")
    yield "host", keyword(node, "host"), *HOST
    yield "bind_host", keyword(node, "bind_host"), HOST[0], [each for each in HOST[1] if each is not None]
    yield "port", keyword(node, "port"), *PORT
    for name, what in (("bind_port", PORT), ("advertised_host", HOST), ("advertised_port", counts(1, 65_535))):
        yield name, keyword(node, name), what[0], [each for each in what[1] if each is not None]
    yield "address_map", keyword(node, "address_map"), "a function of host and port", [1, {"a": "b"}]
    yield "insecure", keyword(node, "insecure"), FLAG[0], [*FLAG[1], None]
    yield "check_serialization", keyword(node, "check_serialization"), *FLAG


def clients() -> Iterator[Row]:
    """What clients are made with."""
    yield "client_host", keyword(client, "client_host"), *HOST
    yield "client_port", keyword(client, "client_port"), *PORT
    yield "connect_timeout", keyword(client, "connect_timeout"), *SOME_SECONDS
    yield "address_map", keyword(client, "address_map"), "a function of host and port", [1, {"a": "b"}]
    yield "contact_points", keyword(client, "contact_points"), "pairs of host and port", [None, 5, "node-1:25520", b"x"]
    yield "contact_points", keyword(client, "contact_points"), "at least one pair of host and port", [[]]
    pair = "a pair of a host and a port from 1 to 65535"
    bad = ["node-1", ("", 1), ("a", "1"), (1, 1), ("a", 1, 2), ODD]
    yield "each of contact_points", lambda value: client(contact_points=[value]), pair, bad
    port = lambda value: client(contact_points=[("node-1", value)])  # noqa: E731 - as above
    yield "a port in contact_points", port, "a whole number, 1 to 65535", [0, -1, 65_536, True]
    yield "a host in contact_points", lambda value: client(contact_points=[(value, 1)]), HOST[0], ["x" * 256]


TABLE = [*values(), *spread(), *behaviors(), *hooks(), *systems(), *clients()]


def refusal(error: BaseException, name: str, allowed: str, value: Any) -> None:
    """Check what an error says."""
    assert isinstance(error, SettingsError)
    assert isinstance(error, UsageError | ValueError)
    assert str(error).startswith(f"{name} must be {allowed}"), str(error)
    assert str(error).endswith(f", not {value!r:.200}")
    assert len(str(error)) < 500


@pytest.mark.parametrize(("name", "take", "allowed", "bad"), TABLE, ids=[row[0] for row in TABLE])
def test_what_cannot_be_is_refused_by_name(name: str, take: Callable[[Any], object], allowed: str, bad: list[Any]) -> None:
    """L14: a wrong type as much as a wrong size; when the value is given, not when it is needed."""
    for value in bad:
        with pytest.raises(SettingsError) as caught:
            take(value)
        refusal(caught.value, name, allowed, value)


@pytest.mark.parametrize("capacity", [1, 10**9, math.inf])
def test_the_bounds_themselves_are_allowed(capacity: float) -> None:
    """L14: what the texts above say."""
    assert Mailbox(capacity).capacity == capacity
    assert Behaviors.sharded(behavior, num_shards=1).num_shards == 1
    assert Behaviors.sharded(behavior, num_shards=65_536).num_shards == 65_536
    assert LinkSettings(1024, 1024, 1024, 0.001, math.inf).close_timeout == math.inf
    assert LinkSettings(keep_alive=5, dead_after=5, gone_after=math.inf).dead_after == 5
    assert ActorSettings(grace=0, hook_timeout=0.0, logged_dead_letters=0).grace == 0
    assert Backoff(1, 1, 1, 0).delay(3, ActorSystem().env.rng) == 1
    assert client(contact_points=[["node-1", 65_535]], connect_timeout=math.inf).contact_points == (("node-1", 65_535),)
    assert node(port=65_535, messages=iter([int])).has_messages


Late = tuple[str, Callable[[Any, Any], Awaitable[object]], str, list[Any]]


async def listen(system: Any, value: Any) -> None:
    async with system.events(Event, capacity=value):
        pytest.fail("it was entered")


async def listen_to(system: Any, value: Any) -> None:
    async with system.events(value):
        pytest.fail("it was entered")


async def spawn_with(system: Any, value: Any) -> None:
    system.spawn(Behaviors.ignore(), mailbox=value)


def in_an_actor(call: Callable[[Any, Any], object]) -> Callable[[Any, Any], Awaitable[object]]:
    """Let an actor call something with its context and the value; its failure is the argument's."""

    async def try_it(system: Any, value: Any) -> None:
        failed = list[Exception]()

        def begin(ctx: Any) -> Behavior[Any]:
            try:
                call(ctx, value)
            except SettingsError as error:
                failed.append(error)
            return Behaviors.stopped()

        await system.wait_stopped(system.spawn(Behaviors.setup(begin)))
        [error] = failed
        raise error

    return try_it


NO_FUNCTION = [None, 5, "x"]

LATE: list[Late] = [
    (
        "the function of an adapter",
        in_an_actor(lambda ctx, value: ctx.adapter(value)),
        "a function",
        NO_FUNCTION,
    ),
    (
        "what is to run in the background",
        in_an_actor(lambda ctx, value: ctx.start_soon(value)),
        "a function",
        NO_FUNCTION,
    ),
    (
        "what is piped",
        in_an_actor(lambda ctx, value: ctx.pipe_to_self(value)),
        "awaitable",
        [*NO_FUNCTION, print],
    ),
    ("n", lambda system, value: system.wait_for(value), *counts(1)),
    ("timeout", lambda system, value: system.wait_for(2, timeout=value), *NO_TIME),
    ("timeout", lambda system, value: system.ask(system.carts, lambda reply_to: reply_to, timeout=value), *NO_TIME),
    ("grace", lambda system, value: system.stop(system.carts, grace=value), *SECONDS),
    ("capacity", listen, *counts(1)),
    ("event_type", listen_to, *NO_EVENTS),
    ("mailbox", spawn_with, *of_class("casty_trio.model.mailbox.Mailbox")),
    (
        "the delay of timer 'tick'",
        in_an_actor(lambda ctx, value: ctx.timers.once("tick", value, "now")),
        *NO_TIME,
    ),
    (
        "the interval of timer 'tick'",
        in_an_actor(lambda ctx, value: ctx.timers.periodic("tick", value, "now")),
        *SOME_SECONDS,
    ),
]


@pytest.mark.parametrize(("name", "take", "allowed", "bad"), LATE, ids=[row[0] for row in LATE])
def test_what_a_running_system_is_given_as_well(
    name: str, take: Callable[[Any, Any], Awaitable[object]], allowed: str, bad: list[Any]
) -> None:
    """L14: at once, and nothing has happened."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as system:
            vars(system)["carts"] = open_shop(system)
            for value in bad:
                before = trio.current_time()
                with pytest.raises(SettingsError) as caught:
                    await take(system, value)
                refusal(caught.value, name, allowed, value)
                assert trio.current_time() == before

    simulate(scenario, 1)


@pytest.mark.parametrize("value", NO_TIME[1], ids=repr)
def test_what_a_client_is_given_as_well(value: Any) -> None:
    """L14: likewise."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as system:
            open_shop(system)
            async with make_client(sim) as connected:
                carts = connected.entity_ref("cart", num_shards=10)
                with pytest.raises(SettingsError) as caught:
                    await connected.ask(carts, lambda reply_to: pytest.fail("it was sent"), timeout=value)
                refusal(caught.value, "timeout", SECONDS[0], value)
                for shards in counts(1, 65_536)[1]:
                    with pytest.raises(SettingsError) as caught:
                        connected.entity_ref("cart", num_shards=shards)
                    refusal(caught.value, "num_shards", counts(1, 65_536)[0], shards)

    simulate(scenario, 1)
