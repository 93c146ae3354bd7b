"""A client that a proxy cuts off from its cluster by holding everything back, with real sockets, and heals again."""

from __future__ import annotations

import logging

import pytest

from casty_trio import ClientSettings, LinkSettings, Settings
from tests.client.isolation import isolations

CYCLES = 100
LEAK = 500
"""A cycle that left a connection, a task or an ask behind would leave kilobytes; so many bytes may one differ, for Trio
keeps scopes that have ended, and a client asks that are over, until there are enough of them to be sorted out."""

QUICK = LinkSettings(handshake_timeout=0.5, close_timeout=0.1, keep_alive=0.05, dead_after=0.15)
SETTINGS = Settings(link=QUICK, client=ClientSettings(establishing=0.5))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_hundred_isolations_leave_no_task_socket_or_memory_behind(caplog: pytest.LogCaptureFixture) -> None:
    """K3: it works after each, as the same client; tasks, files, connections and asks are as many as after the first, and
    memory does not grow from cycle to cycle. `python -m tests.client.isolation` does it for a minute each."""
    caplog.set_level(logging.CRITICAL, "casty_trio")  # what is logged is kept for the report
    left = await isolations(CYCLES, SETTINGS)
    assert len(left.counts) == 1
    assert left.growth < LEAK * CYCLES / 2, left.memory
