"""A client's stream to its contact: made, kept, and made again. Floor: client, on anyio.

What is written while there is no contact is held, up to a bound, the oldest dropped first. When a connection ends, asks
that were written to it fail as outcome unknown, for nobody can tell; what was still queued goes out on the next one. Nothing
is ever repeated. A node that has told the state of the cluster is a contact; one that does not is left for the next, as is
one that refuses the client: an address may be another cluster's by now. Only who enters, and whom all refuse, is told so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.client.asks import Alarm
from casty_trio.client.contacts import Contact
from casty_trio.client.dialing import Dials
from casty_trio.discovery import ask_once, search
from casty_trio.errors import (
    ConnectError,
    DiscoveryError,
    HandshakeError,
    LinkClosedError,
    LinkFullError,
    MailboxFullError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ReconnectTimeoutError,
    SystemClosedError,
)
from casty_trio.link import RETRY, Link
from casty_trio.link.held import Held, HeldMessages
from casty_trio.link.parking import failure_of
from casty_trio.model.address import place_of
from casty_trio.model.client_events import Connected, Disconnected
from casty_trio.protocol import publications, wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import PERMANENT, UNTRUSTED

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["ClientStream", "held_of", "unsent_of"]

PASSING = frozenset({"closed", "timeout", "busy"})
"""Refusals that are no news to a client that looks for a node that has just gone."""

HOPELESS: Final = PERMANENT | UNTRUSTED
"""Refusals that the same contact point repeats; another may be of the right cluster."""

IDLE: Final = 0.05
"""How often it is looked whether a contact that leaves still owes replies, in seconds."""

log: logging.Logger = logging.getLogger("casty_trio.client")


class ClientStream:
    """One connection to one contact at a time.

    Attributes:
        connections: how many there have been.
        flushed_at: when what was held was sent last, in the event loop's time.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._link: Link | None = None
        self._open: Link | None = None  # the same, from the moment that what was held has gone ahead
        self._contact: Contact = ("", 0)  # where it was dialled
        limits, settings = client.link_settings, client.settings
        self._held = HeldMessages(limits.queue, largest=limits.max_message, most=settings.buffer)
        self._rounds = 0  # in vain, over the contact points
        self._lost_at = -math.inf  # when there was a contact last
        self._leaving = self._parting = False
        self._ended = anyio.Event()
        self._alarm: Alarm | None = None  # for a contact that does not tell the state, and then for asking it again
        self.connections: int = 0
        self.flushed_at: float = -math.inf

    @property
    def link(self) -> Link | None:
        """The connection, while there is one."""
        return self._link

    @property
    def connected(self) -> Connected | None:
        """The contact, once it has told the state of the cluster."""
        return Connected(self._open.peer_name, *self._contact) if self._open is not None else None

    @property
    def held(self) -> int:
        """How many messages wait for a contact."""
        return len(self._held)

    # --- Writing ----------------------------------------------------------------------------------------------------------

    def write(self, kind: int, body: bytes) -> None:
        """Queue a frame, or hold it until there is a connection.

        Raises:
            LinkFullError: the outbound queue has no room.
            LinkClosedError: the client leaves its block.
            MessageTooLargeError: the peer would not take it, or none would.
        """
        link = self._open
        if link is None:
            self._hold(kind, body)
            return
        try:
            link.write(kind, body)
        except LinkClosedError:
            self._hold(kind, body)  # the connection has just ended

    async def send(self, kind: int, body: bytes) -> None:
        """As `write`, but wait for room."""
        link = self._open
        if link is None:
            await checkpoint()
            self.write(kind, body)
            return
        try:
            await link.send(kind, body)
        except LinkClosedError:
            self.write(kind, body)

    def write_control(self, kind: int, body: bytes) -> None:
        """Queue a control frame on the connection there is; without one nobody has to know."""
        if self._open is not None:
            self._open.write_control(kind, body)

    def write_held(self, held: Held) -> None:
        """Queue or hold what another stream was to carry and could not; what cannot be is counted as dropped."""
        client = self._client
        if client.asks.is_over(held.ask):
            client.lose(held.ask, LinkClosedError("nobody waits"), "its asker gave up before there was a connection")
            return
        client.asks.move(held.ask, self)
        try:
            self.write(held.kind, held.body)
        except LinkClosedError as error:
            client.lose(held.ask, SystemClosedError(str(error)), str(error))
        except LinkFullError as error:
            client.lose(held.ask, MailboxFullError(str(error)), str(error))
        except MessageTooLargeError as error:
            client.lose(held.ask, error, str(error))

    # --- What waits for a connection ---------------------------------------------------------------------------------------

    def _hold(self, kind: int, body: bytes) -> None:
        if self._leaving:
            raise LinkClosedError("the client leaves its block")
        self._held.check(body)
        self._held.add(held_of(kind, body))
        self._trim()

    def _trim(self) -> None:
        """Drop the oldest of what is held, as long as there is more than a new connection can queue at once."""
        while self._held.overflowing:
            kept = len(self._held) - 1
            reason = f"{kept} messages wait for a contact: the oldest is dropped" if kept else "there is no contact"
            self._drop_oldest(MailboxFullError(reason), reason)

    def _drop_oldest(self, error: Exception, reason: str) -> None:
        self._client.lose(self._held.take_oldest().ask, error, reason)

    def settle(self) -> None:
        """The node has told the state of the cluster: it is the contact. Send what waited, in order, before anything new."""
        link = self._link
        if link is None or link is self._open or self._parting:
            return
        self._open = link
        self._rounds = 0
        self._client.contacts.worked(self._contact)
        self._arm(self._client.settings.refresh, self._refresh)
        self._client.announce(Connected(link.peer_name, *self._contact))
        self._flush_held(link)

    def part(self) -> None:
        """The contact is about to leave: send it nothing more, and look for another when it has answered all asks."""
        link = self._open
        if link is not None:
            with suppress(LinkClosedError, LinkFullError):
                link.write(Kind.LEAVING, b"")
            self._open, self._parting = None, True
            self._part_when_idle(link)

    def _part_when_idle(self, link: Link) -> None:
        kept = {held.ask for held in self._held}
        if any(ask.via is self and number not in kept for number, ask in self._client.asks.open.items()):
            self._arm(IDLE, partial(self._part_when_idle, link))
        else:
            link.close("the node leaves")

    def _flush_held(self, link: Link) -> None:
        if self._held:
            self.flushed_at = anyio.current_time()
        while (held := self._held.oldest) is not None:
            if self._client.asks.is_over(held.ask):
                self._drop_oldest(LinkClosedError("nobody waits"), "its asker gave up before there was a connection")
                continue
            try:
                link.write(held.kind, held.body)
            except LinkClosedError:
                return  # it stays where it is, and goes out on the next one
            except (LinkFullError, MessageTooLargeError) as error:
                self._drop_oldest(error, str(error))
            else:
                self._held.take_oldest()

    def _keep_unsent(self, link: Link) -> None:
        # It was written before anything that is held already.
        self._held.put_first(unsent_of(link))
        kept = {held.ask for held in self._held}
        ended = "the client left its block" if self._leaving else f"the connection to {link.peer_name} ended"
        lost = OutcomeUnknownError(f"{ended} before a reply came")
        self._client.asks.lose_written(self, kept, lost)
        if self._leaving:
            self._drop_all()
        else:
            self._trim()

    def _drop_all(self) -> None:
        reason = "the client has left its block"
        while self._held:
            self._drop_oldest(SystemClosedError(reason), reason)

    # --- The life of the stream --------------------------------------------------------------------------------------

    async def connect(self, timeout: float) -> Link:
        """Connect to the first contact point that takes us, round after round.

        Raises:
            HandshakeError: all contact points refuse us for good; its notes tell what each but the first said.
            ConnectError: none answered by the deadline; its notes tell what each said.
        """
        told: dict[str, str] = {}
        with anyio.move_on_after(timeout):
            return await self._connect(told, entering=True)
        where = ", ".join(place_of(*contact) for contact in self._client.contacts.points) or "none is known"
        failed = ConnectError(f"no contact point of {self._client.system_name} answered within {timeout:g} s: {where}")
        for contact, why in told.items():
            failed.add_note(f"{contact}: {why}")
        raise failed

    async def run(self, link: Link) -> None:
        """Keep a connection until the client leaves its block.

        Raises:
            ReconnectTimeoutError: there was no contact for longer than there may be.
        """
        self._lost_at = anyio.current_time()
        try:
            while True:
                useful = await self._use(link)
                if self._leaving:
                    break
                link = await self._reconnect(useful=useful)
        finally:  # also when cancelled or failed: nobody is left to send, to answer, or to watch deadlines
            self._leaving = True
            self._drop_all()
            self._client.asks.fail_all(SystemClosedError("the client's connection has ended for good"))
            self._ended.set()

    async def _reconnect(self, *, useful: bool) -> Link:
        allowed, told = self._client.settings.reconnect_timeout, dict[str, str]()
        with anyio.CancelScope(deadline=self._lost_at + allowed):
            if not useful:
                await self._back_off()
            return await self._connect(told)
        failed = ReconnectTimeoutError(f"there was no contact to {self._client.system_name} for {allowed:g} s")
        for contact, why in told.items():
            failed.add_note(f"{contact}: {why}")
        raise failed

    def close(self) -> None:
        """Send what is queued, and say goodbye; nothing can be written from here on."""
        self._leaving = True
        if self._link is None:
            self._drop_all()
        else:
            self._link.close("the client leaves")

    async def wait_closed(self) -> None:
        """Wait until the connection has ended; at once when there is none."""
        if self._link is not None:
            await self._ended.wait()

    async def _connect(self, told: dict[str, str], *, entering: bool = False) -> Link:
        contacts, discovery, settings = self._client.contacts, self._client.discovery, self._client.settings
        if discovery is not None and not contacts.points:
            await self._discover(told)
        while True:
            refused: dict[Contact, HandshakeError] = {}
            link = await self._dial_all(told, refused, entering=entering)
            if link is not None:
                return link
            in_vain = discovery is not None and not await self._discover(told)
            if entering and refused and refused.keys() >= set(contacts.points):
                raise _refusal_of_all(refused)
            await self._back_off(min(settings.discovery_interval, settings.discovery_timeout) if in_vain else 0.0)

    async def _dial_all(
        self, told: dict[str, str], refused: dict[Contact, HandshakeError], *, entering: bool
    ) -> Link | None:
        """Dial each contact point once; the link to the first that takes us. Who never will is added to ``refused``."""
        contacts = self._client.contacts

        def failed(contact: Contact, error: Exception) -> None:
            place, why = place_of(*contact), str(error) or type(error).__name__
            if isinstance(error, HandshakeError):
                if error.code in HOPELESS:
                    refused[contact] = error
                if not entering and error.code not in PASSING and told.get(place) != why:
                    log.warning("%s did not take this client back: %s", place, why)
            elif not isinstance(error, OSError):
                raise error
            told[place] = why
            contacts.failed(contact)

        dials = Dials(self._client.dial, failed)
        answer: tuple[Contact, Link] | None = None
        try:
            answer = await dials.run(contacts.candidates())
        finally:
            for contact in dials.silent:
                told.setdefault(place_of(*contact), "it has not answered")
                contacts.failed(contact)
        if answer is None:
            return None
        self._contact, link = answer
        return link

    async def _discover(self, told: dict[str, str]) -> bool:
        """Ask where nodes are, and tell whether somebody is named.

        Where nothing is known, until somebody is or it has taken too long; else once, for what is known may be back before.
        """
        client, settings = self._client, self._client.settings
        discovery = client.discovery
        assert discovery is not None  # who calls this has looked
        found: tuple[Contact, ...] = ()
        told.setdefault("discovery", "it has not answered")
        why = f"it did not answer in {settings.discovery_timeout:g} s"
        try:
            if client.contacts.points:
                with anyio.move_on_after(settings.discovery_timeout):
                    found, why = await ask_once(discovery), "it named nobody"
            else:
                found = await search(
                    discovery,
                    interval=settings.discovery_interval,
                    timeout=settings.discovery_timeout,
                    jitter=client.env.rng.random,
                    in_vain=partial(told.__setitem__, "discovery"),
                )
        except DiscoveryError as error:
            why = str(error)
        except BaseException as raised:
            failure = failure_of(raised)
            if failure is None or failure is raised:
                raise
            why = f"{discovery!r} failed: {failure}"  # what it awaited was cancelled, and not this task
        if found:
            del told["discovery"]
            client.change_contacts(lambda contacts: contacts.discovered(found))
        elif told.get("discovery") != why:
            told["discovery"] = why
            log.warning("the discovery was asked in vain: %s", why)
        return bool(found)

    async def _back_off(self, least: float = 0.0) -> None:
        """Wait longer each time, until a connection has been of use."""
        self._rounds += 1
        await anyio.sleep(max(least, RETRY.delay(self._rounds, self._client.env.rng)))

    async def _use(self, link: Link) -> bool:
        """One connection, from its first frame to its end; whether it told the state of the cluster."""
        useful = self._parting = False
        self._link = link
        self.connections += 1
        if self._leaving:
            link.close("the client leaves")
        else:
            self._subscribe(link)
        try:
            reason = await link.run(partial(self._client.inbound.on_frame, self))
        finally:
            useful = self._open is not None or self._parting
            if self._alarm is not None:
                self._alarm.close()
            self._link = self._open = None
            self._client.services.disconnected()
            self._client.contacts.failed(self._contact)
            self._keep_unsent(link)
        if useful:
            self._lost_at = anyio.current_time()
            self._client.announce(Disconnected(link.peer_name, *self._contact, reason))
        if not self._leaving:
            log.warning("the connection to %s ended: %s", link.peer_name, reason)
        return useful

    # --- The state of the cluster -------------------------------------------------------------------------------------

    def _subscribe(self, link: Link) -> None:
        patience = self._client.settings.establishing
        with suppress(LinkClosedError):  # `run` tells how it ended
            link.write_control(Kind.SUBSCRIBE, b"")
        self._arm(patience, partial(link.abandon, f"it did not tell the state of the cluster in {patience:g} s"))

    def _refresh(self) -> None:
        """Ask for the state again: a node that was too busy to tell of a change does not try a second time by itself."""
        with suppress(LinkClosedError, LinkFullError):
            self.write_control(Kind.REFRESH, self._client.inbound.version.to_bytes(8, "big"))
        self._arm(self._client.settings.refresh, self._refresh)

    def _arm(self, delay: float, call: Callable[[], object]) -> None:
        if self._alarm is not None:
            self._alarm.close()
        self._alarm = self._client.after(delay, call)


def _refusal_of_all(refused: dict[Contact, HandshakeError]) -> HandshakeError:
    """What the first of them said, with what the others said as its notes."""
    first, *others = refused
    for contact in others:
        refused[first].add_note(f"{place_of(*contact)}: {refused[contact]}")
    return refused[first]


ASK_OF: Final[dict[int, Callable[[bytes], int]]] = {
    Kind.ENTITY: lambda body: wire.unpack_entity(body).ask,
    Kind.ACTOR: lambda body: wire.unpack_actor(body).ask,
    Kind.SEND: lambda body: publications.unpack_send(body).ask,
}
"""The number of the ask that a message of each kind belongs to; 0 for none."""


def held_of(kind: int, body: bytes) -> Held:
    """A message of ours, to be held; its ask is named in it."""
    return Held(kind, body, 0, ASK_OF[kind](body))


def unsent_of(link: Link) -> list[Held]:
    """The messages that a connection which has ended never wrote; that the client left it was for it alone."""
    return [held_of(kind, bytes(body)) for kind, body in link.take_unsent() if kind != Kind.LEAVING]
