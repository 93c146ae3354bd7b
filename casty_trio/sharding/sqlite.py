"""The ids of living entities in a file of SQLite. Floor F5: for the nodes of one machine, or of one shared disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from os import PathLike, fspath
from typing import TypeVar

from casty_trio.env import Env, RealEnv
from casty_trio.errors import StaleOwnerError
from casty_trio.model.checks import check_instance, refuse
from casty_trio.model.remembering import EntityStore, ShardClaim
from casty_trio.protocol.shards import shard_of

__all__ = ["SqliteEntityStore"]

T = TypeVar("T")

BUSY = 10.0
"""How long one node waits while another writes, in seconds."""

TABLES = """
CREATE TABLE IF NOT EXISTS owners (
    type TEXT, shard INTEGER, shards INTEGER, cluster TEXT, term INTEGER, number INTEGER,
    PRIMARY KEY (type, shard, shards)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entities (
    type TEXT, id TEXT, shard INTEGER, shards INTEGER,
    PRIMARY KEY (type, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entities_by_shard ON entities (type, shards, shard);
"""


class SqliteEntityStore(EntityStore):
    """Remembers entities in a file.

    Parameters:
        path: the file; it is made with the first write, and any number of nodes may use it.
        env: whose threads it works in; the real world's when left out.

    Example:
        >>> store = SqliteEntityStore("/var/lib/shop/entities.db")
        >>> # system.spawn(Behaviors.sharded(cart, remember_entities=store), "cart")
    """

    def __init__(self, path: str | PathLike[str], *, env: Env | None = None) -> None:
        if not isinstance(path, str | PathLike):
            refuse("path", path, "a path")
        check_instance("env", env, Env)
        self._path = fspath(path)
        self._env = env if env is not None else RealEnv()

    async def claim(self, claim: ShardClaim) -> Collection[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            _check(db, claim, claims=True)
            db.execute(
                "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?, ?)",
                (claim.shard_type, claim.shard, claim.num_shards, str(claim.cluster), *claim.token),
            )
            rows = db.execute(
                "SELECT id FROM entities WHERE type = ? AND shards = ? AND shard = ?",
                (claim.shard_type, claim.num_shards, claim.shard),
            )
            others = db.execute(
                "SELECT id FROM entities WHERE type = ? AND shards <> ?", (claim.shard_type, claim.num_shards)
            )
            moved = [each for (each,) in others if shard_of(each, claim.num_shards) == claim.shard]
            return sorted([*(each for (each,) in rows), *moved])

        return await self._run(work)

    async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
        def work(db: sqlite3.Connection) -> None:
            _check(db, claim, claims=False)
            db.executemany(
                "INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?)",
                [(claim.shard_type, each, claim.shard, claim.num_shards) for each in started],
            )
            db.executemany("DELETE FROM entities WHERE type = ? AND id = ?", [(claim.shard_type, each) for each in stopped])

        await self._run(work)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            with closing(sqlite3.connect(self._path, timeout=BUSY, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(TABLES)
                db.execute("BEGIN IMMEDIATE")
                with db:
                    return work(db)

        return await self._env.run_sync(run)


def _check(db: sqlite3.Connection, claim: ShardClaim, *, claims: bool) -> None:
    row = db.execute(
        "SELECT cluster, term, number FROM owners WHERE type = ? AND shard = ? AND shards = ?",
        (claim.shard_type, claim.shard, claim.num_shards),
    ).fetchone()
    if row is None:
        return
    cluster, *token = row
    same = cluster == str(claim.cluster)
    if (same and tuple(token) > claim.token) or not (same or claims):
        raise StaleOwnerError(f"shard {claim.shard} of {claim.shard_type!r} belongs to a later owner than {claim.token}")
