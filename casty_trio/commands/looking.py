"""`members`, `shards`, `services` and `ping`: a look at a cluster through the client. Floor F6."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import anyio

from casty_trio.client import ClusterClient
from casty_trio.commands.credentials import secret_of, tls_of
from casty_trio.env import Env
from casty_trio.errors import CastyError
from casty_trio.model.address import place_of
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.member import Member

__all__ = ["as_table", "members", "opener", "ping", "services", "shards"]

OpenClient = Callable[[Iterable[tuple[str, int]]], ClusterClient]


def members(options: argparse.Namespace, env: Env) -> int:
    """Print the members of a cluster."""
    topology = anyio.run(_look, opener(options, env), options.contact, backend="trio")
    sys.stdout.write(_as_json(topology) if options.json else _as_table(topology))
    return 0


def shards(options: argparse.Namespace, env: Env) -> int:
    """Print where the shards of each type live."""
    topology = anyio.run(_look, opener(options, env), options.contact, backend="trio")
    sys.stdout.write(_shards_as_json(topology) if options.json else _shards_as_table(topology))
    return 0


def services(options: argparse.Namespace, env: Env) -> int:
    """Print which actors offer which services."""
    topology = anyio.run(_look, opener(options, env), options.contact, backend="trio")
    names = {member.address: member.node_id for member in topology.members}
    found = [(each, names.get(each.node, "-") if each.node is not None else "-") for each in topology.registry]
    if options.json:
        rows = [{"key": each.key, "node_id": node, "path": each.path, "uri": each.address.uri} for each, node in found]
        sys.stdout.write(json.dumps({"services": rows}, indent=2) + "\n")
    else:
        header = ["SERVICE", "NODE", "ACTOR"]
        sys.stdout.write(as_table([header, *([each.key, node, each.address.uri] for each, node in found)]))
    return 0


def ping(options: argparse.Namespace, env: Env) -> int:
    """Print how long it takes to reach each node; 1 when one does not answer."""
    failed = anyio.run(_ping_all, opener(options, env), options.contact, env, backend="trio")
    return 1 if failed else 0


def opener(options: argparse.Namespace, env: Env, *, messages: Iterable[object] = ()) -> OpenClient:
    """What makes a client from a command line, given its contact points."""
    return partial(
        ClusterClient,
        messages=messages,
        system_name=options.system,
        secret=secret_of(options, env),
        tls=tls_of(options),
        connect_timeout=options.timeout,
        env=env,
    )


async def _look(open_client: OpenClient, contacts: Iterable[tuple[str, int]]) -> TopologySnapshot:
    client = open_client(contacts)
    async with client:
        pass  # it is entered once the cluster's state is known
    return client.topology


async def _ping_all(open_client: OpenClient, contacts: Iterable[tuple[str, int]], env: Env) -> bool:
    """Connect to one node after the other, so that none is measured while another is busy with us."""
    topology = await _look(open_client, contacts)
    failed = False
    width = max(len(member.node_id) for member in topology.members)
    for member in topology.members:
        begun = env.now()
        try:
            await _look(open_client, [member.address])
        except (CastyError, OSError) as error:
            failed = True
            told = f"no answer: {'; '.join([str(error), *getattr(error, '__notes__', ())])}"
        else:
            told = f"{(env.now() - begun) * 1_000:.1f} ms"
        sys.stdout.write(f"{member.node_id:{width}}  {_place(member)}  {told}\n")
    return failed


def _as_table(topology: TopologySnapshot) -> str:
    """A line for each member, in columns."""
    rows = [["NODE", "ADDRESS", "STATUS", "ROLES", ""]]
    for member in topology.members:
        marks = [text for text, holds in _marks(topology, member).items() if holds]
        rows.append([member.node_id, _place(member), str(member.status), ",".join(member.roles) or "-", " ".join(marks)])
    return as_table(rows)


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns; the first has their names."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _shards_as_table(topology: TopologySnapshot) -> str:
    """A line for each member that has shards of a type, and one for those that nobody has."""
    rows = [["TYPE", "SHARDS", "NODE", "ADDRESS", "HERE"]]
    for name, homes in topology.shard_homes:
        for home in (*topology.members, None):
            here = [number for number, each in enumerate(homes) if each == home]
            if here:
                node_id, place = (home.node_id, _place(home)) if home is not None else ("-", "-")
                rows.append([name, str(len(homes)), node_id, place, f"{len(here)}: {_ranges(here)}"])
    return as_table(rows)


def _ranges(numbers: list[int]) -> str:
    """Numbers in their order, those that follow each other in short.

    Example:
        >>> _ranges([0, 1, 2, 5, 7, 8])
        '0-2,5,7-8'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] == number - 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, each)) for each in found)


def _shards_as_json(topology: TopologySnapshot) -> str:
    rows = [
        {
            "type": name,
            "num_shards": len(homes),
            "homes": [
                {"node_id": home.node_id, "host": home.host, "port": home.port} if home is not None else None
                for home in homes
            ],
        }
        for name, homes in topology.shard_homes
    ]
    return json.dumps({"shards": rows}, indent=2) + "\n"


def _as_json(topology: TopologySnapshot) -> str:
    rows = [
        {
            "node_id": member.node_id,
            "host": member.host,
            "port": member.port,
            "uid": member.uid,
            "status": str(member.status),
            "roles": list(member.roles),
            **_marks(topology, member),
        }
        for member in topology.members
    ]
    return json.dumps({"members": rows}, indent=2) + "\n"


def _marks(topology: TopologySnapshot, member: Member) -> dict[str, bool]:
    leads = topology.leader is not None and topology.leader.uid == member.uid
    return {"leader": leads, "unreachable": member in topology.unreachable}


def _place(member: Member) -> str:
    return place_of(member.host, member.port)
