"""The test kit, from one behaviour to whole systems on a virtual clock. Floor F6.

`BehaviorTestKit` runs one behaviour without a system; a `TestProbe` is an actor that a test looks through; `simulate` runs a
scenario in one `trio.run`, over an in-memory network, from a seed; a `FaultProxy` disturbs real sockets. `docs/testing.md`
tells more.
"""

from casty_trio.testing import effects as effects, faults as faults, invariants as invariants, memberships as memberships
from casty_trio.testing.bench import (
    Bench as Bench,
    Report as Report,
    Setup as Setup,
    Workload as Workload,
    run_plan as run_plan,
)
from casty_trio.testing.digest import StepDigest as StepDigest
from casty_trio.testing.disk import SimulatedDisk as SimulatedDisk
from casty_trio.testing.errors import (
    DeadlockError as DeadlockError,
    InvariantError as InvariantError,
    LivelockError as LivelockError,
    NestedSimulationError as NestedSimulationError,
    NodeFailedError as NodeFailedError,
    SimulationTimeoutError as SimulationTimeoutError,
    UnsupportedTrioError as UnsupportedTrioError,
    WouldWaitError as WouldWaitError,
)
from casty_trio.testing.host import NodeProgram as NodeProgram, SimulatedHost as SimulatedHost
from casty_trio.testing.kit import BehaviorTestKit as BehaviorTestKit
from casty_trio.testing.network import Network as Network, NetworkStatistics as NetworkStatistics
from casty_trio.testing.nodes import Ending as Ending, Nodes as Nodes
from casty_trio.testing.observer import Invariant as Invariant, Life as Life, Observer as Observer
from casty_trio.testing.pipe import Conditions as Conditions
from casty_trio.testing.plan import Knobs as Knobs, Plan as Plan, Swarm as Swarm
from casty_trio.testing.probe import TestProbe as TestProbe
from casty_trio.testing.proxy import FaultProxy as FaultProxy
from casty_trio.testing.recorder import FlightRecorder as FlightRecorder
from casty_trio.testing.shrinking import shrink as shrink
from casty_trio.testing.simulation import Result as Result, Simulation as Simulation, simulate as simulate
from casty_trio.testing.stage import RecordingRef as RecordingRef
from casty_trio.testing.stream import SimulatedListener as SimulatedListener, SimulatedStream as SimulatedStream
from casty_trio.testing.traffic import MESSAGES as MESSAGES, Traffic as Traffic
from casty_trio.testing.world import Clock as Clock, SimulatedEnv as SimulatedEnv
