"""SRV records, from a name server of the test's own; on both libraries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import dns.message
import dns.rcode
import dns.rrset
import pytest
import sniffio

from casty_trio import DiscoveryError, SettingsError, discovery

NAME = "_casty._tcp.shop.test."


@asynccontextmanager
async def name_server(*records: str) -> AsyncIterator[tuple[str, int]]:
    """Knows these SRV records of one name, and no other name."""
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as socket, anyio.create_task_group() as tasks:

        async def serve() -> None:
            async for packet, (host, port) in socket:
                query = dns.message.from_wire(packet)
                answer = dns.message.make_response(query)
                if query.question[0].name.to_text() == NAME:
                    answer.answer.append(dns.rrset.from_text(NAME, 60, "IN", "SRV", *records))
                else:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                await socket.sendto(answer.to_wire(), host, port)

        tasks.start_soon(serve)
        yield "127.0.0.1", socket.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_records_in_their_order(anyio_backend: str) -> None:
    """By priority, and the heaviest first; names stand without the dot at their end."""
    assert sniffio.current_async_library() == anyio_backend
    records = ["20 1 25520 c.test.", "10 1 25520 b.test.", "10 9 25521 a.test."]
    async with name_server(*records) as server:
        find = discovery.DnsService(NAME, nameserver=server)
        assert await find() == (("a.test", 25_521), ("b.test", 25_520), ("c.test", 25_520))
        with pytest.raises(DiscoveryError, match="_other has no SRV records that can be read"):
            await discovery.DnsService("_other", nameserver=server)()


@pytest.mark.anyio
async def test_nobody_answers(anyio_backend: str) -> None:
    find = discovery.DnsService(NAME, nameserver=("127.0.0.1", 9), timeout=0.2)
    with pytest.raises(DiscoveryError, match="SRV records that can be read"):
        await find()


def test_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"no module {name}")

    monkeypatch.setattr("casty_trio.discovery.dns.import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'casty-trio\[dns\]'"):
        discovery.DnsService(NAME)


def test_it_wants_a_name() -> None:
    with pytest.raises(SettingsError, match="the name of a service's records"):
        discovery.DnsService("")


async def test_a_release_that_does_not_go_with_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """dnspython wants a Trio that is as new as itself."""
    find = discovery.DnsService(NAME)

    def too_old(name: str) -> None:
        raise ImportError("trio not found or too old")

    monkeypatch.setattr("dns.asyncbackend.get_backend", too_old)
    with pytest.raises(DiscoveryError, match="dnspython cannot be used here: trio not found or too old"):
        await find()
