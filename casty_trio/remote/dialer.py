"""The task that keeps a connection to another node while somebody here needs one. Floor F3.

It dials when there is something to say and nobody is connected, waits longer after each failure, with jitter, and stops
waiting when the other node connects by itself. A node that stays away for `gone_after` is declared gone; one that was never
reached, or refuses us for good, costs what waits for it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import trio

from casty_trio.errors import HandshakeError
from casty_trio.link import RETRY, Link, dial
from casty_trio.protocol.handshake import PERMANENT, UNTRUSTED, Dial
from casty_trio.remote.peer import Peer

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.node import RemoteNode

__all__ = ["Dialer"]

HOPELESS = PERMANENT | UNTRUSTED | {"address", "gone"}
"""Refusals after which one node is not dialled again."""


class Dialer:
    """Dials one peer; `run` is its task."""

    def __init__(self, node: RemoteNode, peer: Peer) -> None:
        self._node = node
        self._peer = peer
        self._rests = 0  # since a connection was of use
        self._rest_until = -math.inf
        self._missing_since = math.inf
        self._dialled: Connection | None = None  # the last connection that came of it

    async def run(self) -> None:
        """Keep a connection while one is needed; ends when the node leaves."""
        peer, node = self._peer, self._node
        while not node.leaving:
            if peer.needed:
                waited_for = peer.awaited and not peer.member  # when a member is gone, the cluster decides
                self._missing_since = min(self._missing_since, trio.current_time()) if waited_for else math.inf
                await self._dial_or_wait(self._missing_since + node.link_settings.gone_after)
            else:
                self._missing_since = math.inf
                await peer.changed.wait()

    async def _dial_or_wait(self, deadline: float) -> None:
        """One dial, when its time has come, and what follows from it."""
        peer, node = self._peer, self._node
        served, self._dialled = self._dialled is not None and self._dialled.link.useful, None
        if served or trio.current_time() > self._rest_until + RETRY.maximum:
            self._rests, self._rest_until = 0, -math.inf
        with trio.CancelScope(deadline=min(self._rest_until, deadline)):
            while peer.needed and not node.leaving:
                await peer.changed.wait()
        if node.leaving or not peer.needed:
            return
        if trio.current_time() >= deadline:
            self._give_up("it could not be reached in time")
            return
        attempt = peer.next_dial()
        link: Link | None = None
        try:
            with trio.CancelScope(deadline=deadline):
                link = await self._dial(attempt)
        except (OSError, HandshakeError) as error:
            self._fail(error)
        finally:
            peer.dial_over()
        if link is not None:
            self._rest()  # who ends what it has just let in is not dialled again and again without a pause
            self._dialled = node.connect(link, peer, attempt.number)
            node.start_service(partial(node.serve, self._dialled), f"connection to {peer.node_id}")

    async def _dial(self, attempt: Dial) -> Link:
        peer, node = self._peer, self._node
        session = node.credentials.session(
            node.identity, node.link_settings, dialer=True, admit=peer.admit_dialled, dial=attempt
        )
        return await dial(node.env, *node.peers.address_map(peer.host, peer.port), session, node.credentials.dial)

    def _fail(self, problem: Exception) -> None:
        """A dial has failed: wait and try again, or give up."""
        peer, node = self._peer, self._node
        code = problem.code if isinstance(problem, HandshakeError) else ""
        where = (peer.host, peer.port)
        self._rest()
        if code in HOPELESS:
            if code == "gone":  # as is every node that leaves, until its process has ended
                node.log.info("%s cannot talk to %s:%d: %s", node.node_id, *where, problem)
                if isinstance(problem, HandshakeError) and problem.by_peer:
                    node.refused_as_gone(peer)
            else:
                node.quiet.warning(("refused", *where), "%s cannot talk to %s:%d: %s", node.node_id, *where, problem)
            self._give_up(f"it refuses us: {problem}")
        elif code != "crossing":
            node.quiet.warning(("dial", *where), "%s cannot reach %s:%d: %s", node.node_id, *where, problem)

    def _rest(self) -> None:
        """Dial again only after a while, and after a longer one the next time."""
        self._rests += 1
        self._rest_until = trio.current_time() + RETRY.delay(self._rests, self._node.env.rng)

    def _give_up(self, reason: str) -> None:
        self._missing_since = math.inf
        if self._peer.member or not self._peer.awaited:
            return
        if self._peer.connection is None:
            self._node.peers.declare_gone(self._peer, reason)
        else:
            self._peer.end_strangers()
