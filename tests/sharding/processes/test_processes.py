"""Entities on three real processes, which are restarted under load, and one of them killed: in short."""

from __future__ import annotations

import pytest

from tests.cluster.chaos.processes import processes
from tests.sharding.processes.child import MODULE
from tests.sharding.processes.front import front_of
from tests.sharding.processes.steps import Limits, form, kill, restart

QUICK = Limits(
    nodes=3,
    entities=300,
    rate=50.0,
    settings={
        "detector": {"heartbeat": 0.5, "pause": 1.5, "probe_timeout": 0.25},
        "cluster": {"stable_after": 1.0},
        "link": {"handshake_timeout": 3.0, "keep_alive": 1.0, "dead_after": 5.0, "gone_after": 15.0},
    },
)


@pytest.mark.slow
@pytest.mark.long
async def test_s2_s3_no_ask_fails_in_a_rolling_restart_and_a_crash_is_over_soon() -> None:
    async with processes(QUICK.nodes, module=MODULE) as cluster:
        await form(cluster, QUICK)
        async with front_of(cluster, QUICK.entities, QUICK.settings) as front:
            figures = await restart(cluster, front, QUICK)
            assert figures["failed"] == 0
            await kill(cluster, front, QUICK, oldest=True)
