"""The settings of a client: how it keeps in touch with its cluster. Floor F1: values, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from casty_trio.model.checks import check_choice, check_count, check_seconds
from casty_trio.model.mailbox import Overflow

__all__ = ["MOST_BUFFERED", "ClientSettings"]

MOST_BUFFERED = 10_000


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client finds nodes, how long it holds what it cannot send, and when it gives up.

    How often it asks a silent node for a sign of life, and for how long it waits for one, stands in `LinkSettings`, as for
    nodes: ``keep_alive`` and ``dead_after``.

    Attributes:
        establishing: how long a node may take to tell the state of the cluster once it is connected, in seconds; then the
            next one is tried.
        refresh: how often the state is asked for again, in seconds; changes are told without. ``math.inf`` is never.
        contacts: how many nodes that the client has learnt of it keeps as contact points, beside those it was given.
        buffer: how many messages wait for a contact, 0 to 10 000; one more, and the oldest is dropped. With 0 all are.
        reconnect_timeout: after how many seconds without a contact the client's block ends with `ReconnectTimeoutError`;
            ``math.inf`` is never.
        mailbox: how many messages may wait for a local actor that was spawned without a mailbox of its own; ``math.inf`` for
            any number.
        overflow: what happens to one more, as in `Mailbox`: ``"drop_new"``, ``"drop_oldest"`` or ``"reject"``.
        discovery_interval: how long to wait before ``discovery`` is asked again when it has found nobody, in seconds.
        discovery_timeout: for how many seconds it is asked, where nothing is known; else it is asked once after each round
            in vain over what is known, for that may be back sooner.
    """

    establishing: float = 3.0
    refresh: float = 60.0
    contacts: int = 3
    buffer: int = 1_000
    reconnect_timeout: float = math.inf
    mailbox: float = 10_000
    overflow: Overflow = "drop_new"
    discovery_interval: float = 1.0
    discovery_timeout: float = 60.0

    def __post_init__(self) -> None:
        for name in ("establishing", "refresh", "reconnect_timeout", "discovery_interval", "discovery_timeout"):
            check_seconds(f"ClientSettings.{name}", getattr(self, name), positive=True)
        check_count("ClientSettings.contacts", self.contacts, 0)
        check_count("ClientSettings.buffer", self.buffer, 0, MOST_BUFFERED)
        check_count("ClientSettings.mailbox", self.mailbox, 1, math.inf)
        check_choice("ClientSettings.overflow", self.overflow, get_args(Overflow))
