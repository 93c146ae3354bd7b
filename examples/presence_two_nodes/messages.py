"""What users and the monitor know of each other; nodes and client import it, so its types have one name on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ServiceKey

SYSTEM = "chat"


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Leave:
    pass


ChatMsg = Say | Leave
CHAT: ServiceKey[ChatMsg] = ServiceKey("chat")
