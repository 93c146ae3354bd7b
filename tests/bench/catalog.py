"""What is measured: the programs, in the order in which they take turns, and the rows that their figures make."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

from tests.bench.programs.measuring import BRANCHES, CLUSTERS, CROWD, IDLE_NODES, LEAVES, MANY_ENTITIES, NODES

__all__ = [
    "CLUSTER_ROWS",
    "CROWD_ROWS",
    "PROGRAMS",
    "ROWS",
    "SOURCES",
    "Figure",
    "Program",
    "Row",
    "Source",
    "programs_of",
    "select",
]

Source = Literal["casty_trio", "limit", "pykka", "xoscar"]
Unit = Literal["/s", "KiB", "s", "ms", "B/s"]
SOURCES: tuple[Source, ...] = ("casty_trio", "limit", "pykka", "xoscar")


@dataclass(frozen=True)
class Program:
    """A program to run; ``module`` is one of `tests.bench.programs`, or a file of the limits."""

    source: Source
    module: str
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join((self.source, self.module, *self.arguments))


@dataclass(frozen=True)
class Figure:
    """One number that a program prints."""

    program: Program
    key: str


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        name: what `--rows` calls it.
        title: what tables call it.
        unit: messages, asks or actors per second; or KiB, seconds, milliseconds or bytes per second, of which fewer are
            better.
        goal: the ratio to the limit that is promised, where there is one: at least, or of what is better fewer at most.
        figures: where the numbers come from.
    """

    name: str
    title: str
    unit: Unit
    goal: float | None
    figures: Mapping[Source, Figure]


OURS_MESSAGES = Program("casty_trio", "local", ("messages", "plain"))
OURS_MESSAGES_ASYNC = Program("casty_trio", "local", ("messages", "async"))
OURS_MESSAGES_ANNOTATED = Program("casty_trio", "local", ("messages", "annotated"))
OURS_CALLERS = Program("casty_trio", "local", ("callers", "plain"))
OURS_ACTORS = Program("casty_trio", "local", ("actors", "plain"))
OURS_ACTORS_ASYNC = Program("casty_trio", "local", ("actors", "async"))
OURS_TREE = Program("casty_trio", "tree")
OURS_CLIENT = Program("casty_trio", "client", ("trio",))
OURS_CLIENT_ASYNCIO = Program("casty_trio", "client", ("asyncio",))
OURS_CLIENT_NODES = Program("casty_trio", "client", ("trio", str(NODES)))
OURS_ENTITIES = Program("casty_trio", "entities")
OURS_POPULATION = Program("casty_trio", "population")
OURS_REMOTE = Program("casty_trio", "remote", ("plain",))
OURS_REMOTE_TLS = Program("casty_trio", "remote", ("tls",))
OURS_FORMING = tuple(Program("casty_trio", "cluster", ("form", str(count))) for count in CLUSTERS)
OURS_IDLE = Program("casty_trio", "cluster", ("idle",))
OURS_CROWD = Program("casty_trio", "crowd")
LIMIT_MESSAGES = Program("limit", "local.py", ("messages",))
LIMIT_ACTORS = Program("limit", "local.py", ("actors",))
LIMIT_STOPPABLE = Program("limit", "local.py", ("stoppable",))
LIMIT_REMOTE = Program("limit", "remote.py")
PYKKA_MESSAGES = Program("pykka", "pykka_local", ("messages",))
PYKKA_CALLERS = Program("pykka", "pykka_local", ("callers",))
XOSCAR_LOCAL = Program("xoscar", "xoscar_actors", ("local",))
XOSCAR_REMOTE = Program("xoscar", "xoscar_actors", ("remote",))

# What is compared stands side by side, so that a slow minute of the machine hits both.
PROGRAMS = (
    OURS_MESSAGES,
    LIMIT_MESSAGES,
    OURS_MESSAGES_ASYNC,
    OURS_MESSAGES_ANNOTATED,
    PYKKA_MESSAGES,
    XOSCAR_LOCAL,
    OURS_CALLERS,
    PYKKA_CALLERS,
    OURS_ACTORS,
    LIMIT_ACTORS,
    OURS_ACTORS_ASYNC,
    LIMIT_STOPPABLE,
    OURS_TREE,
    OURS_REMOTE,
    OURS_CLIENT,
    LIMIT_REMOTE,
    OURS_CLIENT_ASYNCIO,
    OURS_CLIENT_NODES,
    OURS_REMOTE_TLS,
    XOSCAR_REMOTE,
    OURS_ENTITIES,
    OURS_POPULATION,
    *OURS_FORMING,
    OURS_IDLE,
    OURS_CROWD,
)


TREE = f"tree of {1 + BRANCHES * (1 + LEAVES):_} actors, supervised and watched".replace("_", " ")
POPULATION = f"{MANY_ENTITIES:_} entities on one node".replace("_", " ")
MANY_CLIENTS = f"{CROWD:_} clients of one node".replace("_", " ")
SPAWN, MEMORY = "spawn and first message", "memory per idle actor"
TELL, ASK, ASK_64, SPAWNED, KIB = "tell_per_s", "ask_per_s", "ask_64_per_s", "spawn_per_s", "kib_per_actor"
CONTROL = "control_p99_ms"
ENTITY_GOAL = 0.67
"""A tell to an entity takes at most one and a half times as long as one to an actor that is none."""


def row(name: str, title: str, goal: float | None, **figures: tuple[Program, str]) -> Row:
    """A row; the keywords are sources, with the program and the key of the number it prints."""
    [(_, key), *_] = figures.values()
    endings: dict[str, Unit] = {"per_s": "/s", "kib_per_actor": "KiB", "kib_per_actor_stoppable": "KiB", "_ms": "ms"}
    endings |= {"kib_per_client": "KiB", "_bytes": "B/s", "_s": "s"}
    unit = next(unit for ending, unit in endings.items() if key.endswith(ending))
    return Row(name, title, unit, goal, {source: Figure(*figures[source]) for source in SOURCES if source in figures})


def tell_row(name: str, title: str, goal: float | None, ours: Program) -> Row:
    return row(
        name,
        f"local tell, {title}",
        goal,
        casty_trio=(ours, TELL),
        limit=(LIMIT_MESSAGES, TELL),
        pykka=(PYKKA_MESSAGES, TELL),
        xoscar=(XOSCAR_LOCAL, TELL),
    )


def client_rows(ours: Program, suffix: str, library: str, goals: Sequence[float | None] = (0.75, 0.55, None)) -> list[Row]:
    kinds = [("ask", ASK, "ask, one caller"), ("ask_64", ASK_64, "ask, 64 callers"), ("tell", TELL, "tell")]
    return [
        row(
            f"client_{kind}{suffix}",
            f"client {title}, over TCP, {library}",
            goal,
            casty_trio=(ours, key),
            limit=(LIMIT_REMOTE, key),
            xoscar=(XOSCAR_REMOTE, key),
        )
        for (kind, key, title), goal in zip(kinds, goals, strict=True)
    ]


def entity_row(name: str, title: str, key: str) -> Row:
    """A tell to an entity of this node; its limit is a tell to any actor of this node, in the same process."""
    plain = (OURS_ENTITIES, "plain_tell_per_s")
    return row(name, f"{title}; the limit is a plain actor", ENTITY_GOAL, casty_trio=(OURS_ENTITIES, key), limit=plain)


def remote_rows(ours: Program, suffix: str, over: str, goals: Sequence[float | None]) -> list[Row]:
    kinds = [("ask", ASK, "ask, one caller"), ("ask_64", ASK_64, "ask, 64 callers"), ("tell", TELL, "tell")]
    return [
        row(
            f"remote_{kind}{suffix}",
            f"remote {title}, over {over}",
            goal,
            casty_trio=(ours, key),
            limit=(LIMIT_REMOTE, key),
            xoscar=(XOSCAR_REMOTE, key),
        )
        for (kind, key, title), goal in zip(kinds, goals, strict=True)
    ] + [row(f"control{suffix}", f"control frame under bulk load, over {over}: p99", None, casty_trio=(ours, CONTROL))]


CLUSTER_ROWS = (
    *(
        row(
            f"cluster_form_{count}_{start}",
            f"{count} nodes: from the start of {told} until all agree",
            None,
            casty_trio=(program, f"form_{count}_{start}_s"),
        )
        for count, program in zip(CLUSTERS, OURS_FORMING, strict=True)
        for start, told in (("first", "the first process"), ("last", "the last node"))
    ),
    row(
        "cluster_idle_cpu",
        f"{IDLE_NODES} idle nodes: CPU time per node and minute",
        None,
        casty_trio=(OURS_IDLE, "idle_cpu_s"),
    ),
    row(
        "cluster_idle_bytes",
        f"{IDLE_NODES} idle nodes: membership and heartbeats, per node",
        None,
        casty_trio=(OURS_IDLE, "idle_bytes"),
    ),
    row(
        "cluster_changing_bytes",
        f"{IDLE_NODES} nodes while one more joins and leaves: likewise",
        None,
        casty_trio=(OURS_IDLE, "changing_bytes"),
    ),
)
"""What is compared with nothing: what a cluster of processes costs."""

CROWD_ROWS = (
    row(
        "crowd_memory", f"{MANY_CLIENTS}: memory of each at the node", None, casty_trio=(OURS_CROWD, "crowd_kib_per_client")
    ),
    row(
        "crowd_memory_asked",
        f"{MANY_CLIENTS}: likewise, once all have asked",
        None,
        casty_trio=(OURS_CROWD, "crowd_asked_kib_per_client"),
    ),
    row(
        "crowd_own_memory",
        f"{MANY_CLIENTS}: memory of each in its own process",
        None,
        casty_trio=(OURS_CROWD, "crowd_own_kib_per_client"),
    ),
    row("crowd_ask_median", f"{MANY_CLIENTS}: asks, median", None, casty_trio=(OURS_CROWD, "crowd_median_ms")),
    row("crowd_ask_p99", f"{MANY_CLIENTS}: asks, p99", None, casty_trio=(OURS_CROWD, "crowd_p99_ms")),
)
"""Likewise: what many clients cost."""

ROWS = (
    tell_row("tell", "plain handler", 0.50, OURS_MESSAGES),
    tell_row("tell_async", "async handler", 0.45, OURS_MESSAGES_ASYNC),
    tell_row("tell_annotated", "plain handler, annotations evaluated", None, OURS_MESSAGES_ANNOTATED),
    row(
        "ask",
        "local ask, one caller",
        0.80,
        casty_trio=(OURS_MESSAGES, ASK),
        limit=(LIMIT_MESSAGES, ASK),
        pykka=(PYKKA_MESSAGES, ASK),
        xoscar=(XOSCAR_LOCAL, ASK),
    ),
    row(
        "ask_64",
        "local ask, 64 callers",
        None,
        casty_trio=(OURS_CALLERS, ASK_64),
        pykka=(PYKKA_CALLERS, ASK_64),
        xoscar=(XOSCAR_LOCAL, ASK_64),
    ),
    row("spawn", f"{SPAWN}, plain handler", 0.65, casty_trio=(OURS_ACTORS, SPAWNED), limit=(LIMIT_ACTORS, SPAWNED)),
    row(
        "spawn_async",
        f"{SPAWN}, async handler",
        0.80,
        casty_trio=(OURS_ACTORS_ASYNC, SPAWNED),
        limit=(LIMIT_STOPPABLE, "spawn_stoppable_per_s"),
    ),
    row("memory", f"{MEMORY}, plain handler", 1.25, casty_trio=(OURS_ACTORS, KIB), limit=(LIMIT_ACTORS, KIB)),
    row(
        "memory_async",
        f"{MEMORY}, async handler",
        1.10,
        casty_trio=(OURS_ACTORS_ASYNC, KIB),
        limit=(LIMIT_STOPPABLE, "kib_per_actor_stoppable"),
    ),
    row("tree_start", f"{TREE}: until all have started", None, casty_trio=(OURS_TREE, "tree_start_s")),
    row("tree_stop", f"{TREE}: until all have ended", None, casty_trio=(OURS_TREE, "tree_stop_s")),
    row("tree_memory", f"{TREE}: memory per actor", None, casty_trio=(OURS_TREE, "tree_kib_per_actor")),
    *remote_rows(OURS_REMOTE, "", "TCP", (0.80, 0.65, 0.50)),
    *remote_rows(OURS_REMOTE_TLS, "_tls", "TLS", (None, None, None)),
    *client_rows(OURS_CLIENT, "", "Trio"),
    *client_rows(OURS_CLIENT_ASYNCIO, "_asyncio", "asyncio"),
    *client_rows(OURS_CLIENT_NODES, f"_{NODES}_nodes", f"Trio, {NODES} nodes", (None, None, None)),
    entity_row("entity_tell", "tell to an entity of this node", "entity_tell_per_s"),
    entity_row("entity_tell_envelope", "tell to an entity of this node, in an envelope", "envelope_tell_per_s"),
    row("entity_start", f"{POPULATION}: first messages", None, casty_trio=(OURS_POPULATION, "entities_per_s")),
    row("entity_memory", f"{POPULATION}: memory of each", None, casty_trio=(OURS_POPULATION, "entity_kib_per_actor")),
    *CLUSTER_ROWS,
    *CROWD_ROWS,
)


def select(patterns: Sequence[str], backend: str = "both") -> list[Row]:
    """The rows whose names match one of the patterns (all, when there are none), with the client on this backend.

    Raises:
        ValueError: a pattern matches no row.

    Example:
        >>> [row.name for row in select(["memory*"])]
        ['memory', 'memory_async']
    """
    for pattern in patterns:
        if not any(fnmatch(row.name, pattern) for row in ROWS):
            raise ValueError(f"no row is called {pattern!r}; there are {', '.join(row.name for row in ROWS)}")
    others = {"trio": (OURS_CLIENT_ASYNCIO,), "asyncio": (OURS_CLIENT, OURS_CLIENT_NODES)}.get(backend, ())
    return [
        row
        for row in ROWS
        if row.figures["casty_trio"].program not in others
        and (not patterns or any(fnmatch(row.name, pattern) for pattern in patterns))
    ]


def programs_of(rows: Iterable[Row]) -> list[Program]:
    """The programs that these rows need, in the order of their turns."""
    needed = {figure.program for row in rows for figure in row.figures.values()}
    return [program for program in PROGRAMS if program in needed]
