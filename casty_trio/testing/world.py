"""The world as a simulated host sees it: chance from the seed, the network in memory. Floor F6."""

from __future__ import annotations

import random

import anyio.abc
import trio
from anyio.abc import ByteStream, Listener

from casty_trio.env import Env
from casty_trio.testing.network import Network

__all__ = ["SimulatedEnv"]


class SimulatedEnv(Env):
    """An `Env` in which nothing is real; `Simulation.env` makes it.

    Parameters:
        name: the host's name.
        seed: the simulation's; what is drawn depends on it and the name.
        network: where it listens and dials.
    """

    check_serialization: bool = True
    """In a simulation they do: what works on one node has to work on two."""

    def __init__(self, name: str, seed: int, network: Network) -> None:
        self.name = name
        self._network = network
        self._rng = random.Random(f"{seed}:env:{name}:rng")
        self._tokens = random.Random(f"{seed}:env:{name}:token")

    def __repr__(self) -> str:
        return f"<SimulatedEnv {self.name}>"

    @property
    def rng(self) -> random.Random:
        return self._rng

    def token(self, size: int) -> bytes:
        return self._tokens.randbytes(size)

    async def connect(self, host: str, port: int) -> ByteStream:
        return await self._network.connect(self.name, host, port)

    async def listen(self, host: str, port: int) -> Listener[ByteStream]:
        await trio.lowlevel.checkpoint()
        return self._network.listen(self.name, host, port)

    def local_port(self, listener: Listener[ByteStream]) -> int:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))
