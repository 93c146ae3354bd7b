"""Dialling a client's contact points in their order, without waiting long for one that is silent. Floor: client, on anyio.

Where a host is gone, or a firewall swallows what it gets, nothing comes back, and a dial lasts until its deadline. So the
next is dialled after a short while, too; whoever answers first is taken, and the other dials end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import anyio

from casty_trio.client.contacts import Contact
from casty_trio.link import Link

__all__ = ["PATIENCE", "Dials"]

PATIENCE: Final = 1.0
"""After so many seconds without an answer the next is dialled beside it."""


class Dials:
    """One round over contact points.

    Args:
        dial: dials one.
        failed: called with who could not be dialled, and why; what it raises ends the round.
    """

    def __init__(self, dial: Callable[[Contact], Awaitable[Link]], failed: Callable[[Contact, Exception], None]) -> None:
        self._dial = dial
        self._failed = failed
        self._begun: dict[Contact, anyio.Event] = {}
        self._answer: tuple[Contact, Link] | None = None
        self._refusal: Exception | None = None
        self._scope = anyio.CancelScope()

    @property
    def silent(self) -> tuple[Contact, ...]:
        """Who was dialled and has said nothing, until now or until another answered."""
        return tuple(contact for contact, over in self._begun.items() if not over.is_set())

    async def run(self, contacts: Iterable[Contact]) -> tuple[Contact, Link] | None:
        """The first that answers; None when none does.

        Raises:
            Exception: what ``failed`` raised.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                for contact in contacts:
                    over = self._begun[contact] = anyio.Event()
                    tasks.start_soon(self._try, contact, over, name=f"casty_trio client (dials {contact[0]}:{contact[1]})")
                    with anyio.move_on_after(PATIENCE):
                        await over.wait()
                    if self._answer is not None or self._refusal is not None:
                        break  # it was told of the end of that dial before it is cancelled
        except BaseException:  # cancelled, when somebody had answered already
            if self._answer is not None:
                await _discard(self._answer[1])
            raise
        if self._refusal is not None:
            raise self._refusal
        return self._answer

    async def _try(self, contact: Contact, over: anyio.Event) -> None:
        try:
            link = await self._dial(contact)
        except Exception as error:  # noqa: BLE001 - `failed` decides what it means
            over.set()
            self._note(contact, error)
            return
        over.set()
        if self._answer is not None or self._refusal is not None:  # in the same turn of the event loop
            await _discard(link)
            return
        self._answer = contact, link
        self._scope.cancel()

    def _note(self, contact: Contact, error: Exception) -> None:
        try:
            self._failed(contact, error)
        except Exception as refusal:  # noqa: BLE001 - `run` raises it
            self._refusal = self._refusal or refusal
            self._scope.cancel()


async def _discard(link: Link) -> None:
    """End a connection that is not needed."""
    link.abandon("another contact answered")
    await link.run(lambda kind, body: None)
