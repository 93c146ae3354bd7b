"""A network inside one process: addresses, connections, and the conditions between hosts. Floor F6.

Rules: nothing but bytes crosses, and they are copied. Addresses are (host, port) as with TCP, in one flat space: any
host may listen under any name, so nodes that all say 127.0.0.1 are hosts on one machine with different ports. The
conditions go by the *hosts*, the names given to `Simulation.env`, whatever they listen under.
Every direction between two hosts is a `Route`, every direction of a connection a `Pipe` on it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from math import inf

import trio

from casty_trio.model.checks import check_count
from casty_trio.testing.clock import VirtualClock, sleep
from casty_trio.testing.pipe import Conditions, Pipe, Route
from casty_trio.testing.stream import SimulatedListener, SimulatedStream

__all__ = ["Network", "NetworkStatistics"]

FIRST_FREE_PORT, LAST_PORT = 49_152, 65_535
ANY_HOST = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """What a network carried.

    Parameters:
        connections: dials that were answered.
        refused: dials that found nobody.
        bytes: bytes that were sent.
        chunks: pieces they were sent in.
    """

    connections: int = 0
    refused: int = 0
    bytes: int = 0
    chunks: int = 0


class Network:
    """Byte streams between the hosts of one simulation; `Simulation.network` is one.

    Parameters:
        clock: the simulation's.
        seed: fixes every delay and every cut.
        conditions: how every direction behaves that `set_conditions` said nothing about.

    Attributes:
        clock: the simulation's.

    Example::

        def scenario(sim):
            sim.network.set_conditions(Conditions(delay=(0.05, 0.2)), between=("node-1", "node-2"))
    """

    def __init__(self, clock: VirtualClock, seed: int = 0, conditions: Conditions | None = None) -> None:
        self.clock: VirtualClock = clock
        self._seed = seed
        self._conditions = conditions or Conditions()
        self._exceptions: dict[tuple[str, str], Conditions] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._listeners: dict[tuple[str, int], tuple[str, SimulatedListener]] = {}
        self._off: dict[str, bool] = {}  # hosts that are off; whether what comes to them is refused all the same
        self._dark: dict[tuple[str, int], str] = {}  # where hosts listened that are off and say nothing
        self._next_port = FIRST_FREE_PORT
        self._connections = self._refused = 0

    def __repr__(self) -> str:
        return f"<Network {len(self._listeners)} listeners, {self.open_ends()} open ends, {self.statistics()}>"

    def set_conditions(
        self,
        conditions: Conditions,
        *,
        between: tuple[str, str] | None = None,
        one_way: tuple[str, str] | None = None,
    ) -> None:
        """Change how the network behaves for what is sent from now on.

        Parameters:
            conditions: the new behaviour.
            between: two hosts, for the way there and back; without it, all that have no conditions of their own.
            one_way: two hosts, for the way from the first to the second only.
        """
        if one_way is not None:
            self._exceptions[one_way] = conditions
        elif between is None:
            self._conditions = conditions
        else:
            one, other = between
            self._exceptions[one, other] = self._exceptions[other, one] = conditions
        for key, route in self._routes.items():
            stalled, route.conditions = route.conditions.stalled, self._exceptions.get(key, self._conditions)
            if stalled and not route.conditions.stalled:
                for pipe in list(route.pipes):
                    pipe.resume()

    def cut(self, source: str, target: str, *, after: int = 0) -> None:
        """Break connections between two hosts: what was sent arrives, and then both ends find the connection reset.

        Parameters:
            source: the one host.
            target: the other.
            after: 0 breaks all connections between them now; more, the one that carries so many further bytes from
                ``source`` to ``target``, right behind the last of these, whatever stands there.

        Example::

            def scenario(sim):
                sim.network.cut("node-1", "node-2", after=1_000)
        """
        check_count("after", after, 0)
        route = self._route(source, target)
        if after:
            route.fuse = after
        else:
            for pipe in (*route.pipes, *self._route(target, source).pipes):
                pipe.tear()

    def mend(self) -> None:
        """Take back the cuts that have not come yet."""
        for route in self._routes.values():
            route.fuse = inf

    def take_off(self, host: str, *, refusing: bool = False) -> None:
        """Take a host off at once: nothing that it does from now on leaves it, and nothing comes in.

        Parameters:
            host: its name.
            refusing: as if its process had been killed, not its current: what comes is refused. Otherwise nothing is
                answered, and others learn of it by their own clocks only.
        """
        self._off[host] = refusing
        for address, (owner, _) in list(self._listeners.items()):
            if owner == host:
                del self._listeners[address]
                if not refusing:
                    self._dark[address] = host
        for (source, target), route in self._routes.items():
            for pipe in list(route.pipes):
                if source == host:
                    pipe.silence()
                if target == host:
                    pipe.desert(refusing=refusing)

    def put_back(self, host: str) -> None:
        """Put a host that was taken off on again; it knows nothing of its former connections, and refuses them."""
        if self._off.pop(host, None) is None:
            return
        self._dark = {address: owner for address, owner in self._dark.items() if owner != host}
        for (_, target), route in self._routes.items():
            if target == host:
                for pipe in list(route.pipes):
                    pipe.refuse()

    def open_ends(self, host: str | None = None) -> int:
        """How many ends of connections are open: all, or those that a host sends into."""
        return sum(len(route.pipes) for (source, _), route in self._routes.items() if host in (None, source))

    def statistics(self) -> NetworkStatistics:
        """What was carried so far."""
        routes = self._routes.values()
        return NetworkStatistics(
            self._connections, self._refused, sum(r.bytes for r in routes), sum(r.chunks for r in routes)
        )

    # --- what hosts do: `Simulation.env` calls these ---

    def listen(self, node: str, host: str, port: int) -> SimulatedListener:
        """Take an address for a host; port 0 picks a free one.

        Raises:
            OSError: the address is taken (EADDRINUSE), or the host is off.
        """
        if node in self._off:
            raise OSError(errno.ENETDOWN, f"{node} is off")
        host = node if host in ANY_HOST else _normal(host)
        port = port or self._free_port(host)
        if (host, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{host}:{port} is taken by {self._listeners[host, port][0]}")
        listener = SimulatedListener((host, port), self.clock, lambda: self._release((host, port), listener))
        self._listeners[host, port] = node, listener
        return listener

    def _release(self, address: tuple[str, int], listener: SimulatedListener) -> None:
        if address in self._listeners and self._listeners[address][1] is listener:  # not taken by another meanwhile
            del self._listeners[address]

    async def connect(self, node: str, host: str, port: int) -> SimulatedStream:
        """Open a connection from a host; it takes a round trip.

        Raises:
            ConnectionRefusedError: nobody listens there when the dial arrives.
        """
        address = node if host in ANY_HOST else _normal(host), port
        target = self._listeners[address][0] if address in self._listeners else address[0]
        await sleep(self._route(node, target).delay())
        back = self._route(target, node).delay()
        found = self._listeners.get(address)
        if node in self._off or (found is None and self._is_mute(address)):
            await trio.sleep_forever()
        if found is None or found[1].is_full():
            self._refused += 1
            await sleep(back)
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on {address[0]}:{port}")
        self._connections += 1
        client, server = self._pair(node, found[0], address)
        found[1].offer(server)
        try:
            await sleep(back)
        except trio.Cancelled:
            client.close()
            raise
        return client

    def _is_mute(self, address: tuple[str, int]) -> bool:
        """Whether nobody answers there, not even that nobody listens."""
        return address in self._dark or not self._off.get(address[0], True)

    def _pair(self, node: str, target: str, address: tuple[str, int]) -> tuple[SimulatedStream, SimulatedStream]:
        there, back = self._route(node, target), self._route(target, node)
        out, in_ = Pipe(there, back), Pipe(back, there)
        out.other, in_.other = in_, out
        # As with TCP, who dials a loopback address comes from there.
        local = address[0] if address[0].startswith("127.") else node
        origin = local, self._free_port(local)
        return SimulatedStream(out, in_, origin, address), SimulatedStream(in_, out, address, origin)

    def _route(self, source: str, target: str) -> Route:
        key = source, target
        if key not in self._routes:
            conditions = self._exceptions.get(key, self._conditions)
            self._routes[key] = Route(source, target, conditions, f"{self._seed}:{source}->{target}", self.clock)
        return self._routes[key]

    def _free_port(self, host: str) -> int:
        for _ in range(FIRST_FREE_PORT, LAST_PORT + 1):
            port = self._next_port
            self._next_port = FIRST_FREE_PORT if port == LAST_PORT else port + 1
            if (host, port) not in self._listeners:
                return port
        raise OSError(errno.EADDRINUSE, f"{host} has no free port")


def _normal(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
