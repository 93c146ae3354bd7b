"""What the tests of sharding share."""

from __future__ import annotations

from typing import Any

import pytest

from casty_trio.testing import Simulation, simulate
from tests.sharding.nodes import Program, Runner
from tests.sim.shop import make_node, open_shop


@pytest.fixture(params=[False, True], ids=["direct", "checked"])
def on_node(request: pytest.FixtureRequest) -> Runner:
    """Runs a program on a node with carts: as it is, and with ``check_serialization=True``, so that one node is as two."""

    def run(program: Program, **settings: Any) -> None:
        async def scenario(sim: Simulation) -> None:
            async with make_node(sim, check_serialization=request.param, **settings) as node:
                assert node.check_serialization is request.param
                await program(node, open_shop(node))

        simulate(scenario, 1)

    return run
