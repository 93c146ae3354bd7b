"""The test kit: whole systems in one `trio.run`, on a virtual clock and an in-memory network, from a seed. Floor F6.

`simulate` runs a scenario; `Simulation` is what it is given. See `docs/testing.md`.
"""

from casty_trio.testing.digest import StepDigest as StepDigest
from casty_trio.testing.errors import (
    DeadlockError as DeadlockError,
    LivelockError as LivelockError,
    NestedSimulationError as NestedSimulationError,
    SimulationTimeoutError as SimulationTimeoutError,
    UnsupportedTrioError as UnsupportedTrioError,
)
from casty_trio.testing.network import Network as Network, NetworkStatistics as NetworkStatistics
from casty_trio.testing.pipe import Conditions as Conditions
from casty_trio.testing.simulation import Result as Result, Simulation as Simulation, simulate as simulate
from casty_trio.testing.stream import SimulatedListener as SimulatedListener, SimulatedStream as SimulatedStream
from casty_trio.testing.world import SimulatedEnv as SimulatedEnv
