"""Who is let in and who is not, over real sockets with TLS, told by name on both sides within the deadline (W3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest
import sniffio
from anyio.abc import ByteStream, SocketAttribute

from casty_trio.env import RealEnv
from casty_trio.errors import HandshakeError
from casty_trio.link import Secure, open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind, pack_header
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.secret import authenticator_of
from casty_trio.protocol.session import Session
from casty_trio.tls import Config
from tests.tls.authority import Authority

ENV = RealEnv()
SECRET, OTHER = bytes(range(32)), bytes(range(32, 64))
LIMITS = LinkSettings(handshake_timeout=5.0)


class End(NamedTuple):
    """One end: what it has to show, and what it says it is."""

    tls: Config | None
    role: str = "node"
    node_id: str = ""
    system: str = "shop"
    secret: bytes | None = None
    uid: int = 0


class Case(NamedTuple):
    """Two ends that meet, and the codes they hear; none when they get along."""

    name: str
    dialer: End
    acceptor: End
    codes: tuple[str, str] | None


def cases(folder: Path) -> Iterator[Case]:
    ca, other_ca = Authority(folder), Authority(folder, "other")
    node, client = ca.config("node"), ca.config("client")
    good = End(node)
    yield Case("valid node", good, good, None)
    yield Case("valid client", End(client, "client"), good, None)
    yield Case("valid, with names", End(ca.config("client", "web"), "client"), End(ca.config("node", "acceptor")), None)
    yield Case("valid, with a secret too", End(node, secret=SECRET), End(node, secret=SECRET), None)
    yield Case("no certificate, dials", End(ca.nobody()), good, ("tls", "tls"))
    yield Case("no certificate, accepts", good, End(ca.nobody()), ("tls", "tls"))
    yield Case("wrong authority, dials", End(other_ca.misled(ca)), good, ("tls", "tls"))
    yield Case("wrong authority, accepts", good, End(other_ca.misled(ca)), ("tls", "tls"))
    yield Case("two authorities", End(other_ca.config()), good, ("tls", "tls"))
    yield Case("expired, dials", End(ca.config(days=-1)), good, ("tls", "tls"))
    yield Case("expired, accepts", good, End(ca.config(days=-1)), ("tls", "tls"))
    yield Case("client as node, dials", End(client, "node"), good, ("certificate", "certificate"))
    yield Case("client as node, accepts", good, End(client, "node"), ("tls", "tls"))
    strange = ca.config("client", kind="node")  # may listen, as far as TLS is concerned
    yield Case("client as node, accepts after all", good, End(strange), ("certificate", "certificate"))
    yield Case("client accepts", good, End(strange, "client"), ("role", "role"))
    yield Case("node as client", End(node, "client"), good, ("certificate", "certificate"))
    bank = ca.config(system="bank")
    yield Case("certificate of another cluster, dials", End(bank), good, ("certificate", "certificate"))
    yield Case("certificate of another cluster, accepts", good, End(bank), ("certificate", "certificate"))
    yield Case("another cluster, dials", End(bank, system="bank"), good, ("system", "system"))
    yield Case("another node's certificate", End(ca.config("node", "node-2")), good, ("certificate", "certificate"))
    yield Case("wrong secret", End(node, secret=OTHER), End(node, secret=SECRET), ("authentication", "authentication"))
    yield Case("no secret", End(node), End(node, secret=SECRET), ("authentication", "authentication"))
    yield Case("connection to self", End(node, uid=7), End(node, uid=7), ("self", "self"))
    yield Case("no TLS, dials", End(None), good, ("protocol", "tls"))
    yield Case("no TLS, accepts", good, End(None), ("tls", "protocol"))


NAMES = [
    "valid node",
    "valid client",
    "valid, with names",
    "valid, with a secret too",
    "no certificate, dials",
    "no certificate, accepts",
    "wrong authority, dials",
    "wrong authority, accepts",
    "two authorities",
    "expired, dials",
    "expired, accepts",
    "client as node, dials",
    "client as node, accepts",
    "client as node, accepts after all",
    "client accepts",
    "node as client",
    "certificate of another cluster, dials",
    "certificate of another cluster, accepts",
    "another cluster, dials",
    "another node's certificate",
    "wrong secret",
    "no secret",
    "connection to self",
    "no TLS, dials",
    "no TLS, accepts",
]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {case.name: case for case in cases(tmp_path_factory.mktemp("certificates"))}


def test_every_case_runs(matrix: dict[str, Case]) -> None:
    assert list(matrix) == NAMES


def session_of(end: End, *, dials: bool, nonce: bytes = b"") -> Session:
    node_id = end.node_id or ("dialer" if dials else "acceptor")
    identity = Identity(end.system, end.role, node_id, end.uid or (1 if dials else 2))
    proves = authenticator_of(end.secret)
    return Session(identity, dialer=dials, nonce=nonce or ENV.token(32), limits=LIMITS, authenticator=proves)


def secure_of(end: End, *, dials: bool) -> Secure | None:
    return None if end.tls is None else partial(end.tls.secure, dialer=dials, env=ENV)


async def outcome(stream: ByteStream, end: End, *, dials: bool) -> HandshakeError | Identity:
    """How it went for one end: an error, or who it sees."""
    try:
        link = await open_link(stream, session_of(end, dials=dials), secure_of(end, dials=dials))
    except HandshakeError as error:
        return error
    link.close("that was all")
    await link.run(lambda kind, body: None)
    return link.peer


@asynccontextmanager
async def sockets() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    """Both ends of a real connection."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        door: Any = listener.listeners[0]
        dialed = await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
        async with dialed, await door.accept() as accepted:
            yield dialed, accepted


async def meet(dialer: End, acceptor: End) -> tuple[HandshakeError | Identity, HandshakeError | Identity]:
    """Let two ends meet; what dialer and acceptor have of it, within the deadline."""
    heard: dict[bool, HandshakeError | Identity] = {}

    async def play(stream: ByteStream, end: End, dials: bool) -> None:
        heard[dials] = await outcome(stream, end, dials=dials)

    async with sockets() as (dialed, accepted):
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play, dialed, dialer, True)
            tasks.start_soon(play, accepted, acceptor, False)
        assert anyio.current_time() - began < LIMITS.handshake_timeout
    return heard[True], heard[False]


@pytest.mark.anyio
@pytest.mark.parametrize("name", NAMES)
async def test_the_matrix(matrix: dict[str, Case], name: str, anyio_backend_name: str) -> None:
    """W3: let in, or refused by name on both sides."""
    assert sniffio.current_async_library() == anyio_backend_name
    case = matrix[name]
    heard = await meet(case.dialer, case.acceptor)
    if case.codes is None:
        assert [type(each) for each in heard] == [Identity, Identity]
    else:
        assert tuple(each.code if isinstance(each, HandshakeError) else each for each in heard) == case.codes, heard
        assert all(str(each).isprintable() and len(str(each)) < 400 for each in heard)


TOLD = {
    "no certificate, dials": ("certificate required", "has shown no certificate"),
    "wrong authority, dials": ("unknown ca", "unable to get local issuer certificate"),
    "expired, dials": ("certificate expired", "certificate has expired"),
    "expired, accepts": ("certificate has expired", "certificate expired"),
    "client as node, accepts": ("unsuitable certificate purpose", "alert"),
    "client as node, dials": ("is for casty://shop/client", "is for casty://shop/client"),
    "no TLS, dials": ("it speaks TLS", "does not speak TLS"),
    "no TLS, accepts": ("does not speak TLS", "it speaks TLS"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", TOLD)
async def test_what_people_read(matrix: dict[str, Case], name: str, anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    heard = await meet(matrix[name].dialer, matrix[name].acceptor)
    for each, words in zip(heard, TOLD[name], strict=True):
        assert words in str(each)


# --- What only a peer of another making would say -------------------------------------------------------


async def say(end: End, acceptor: End, *words: bytes) -> tuple[bytes, HandshakeError | Identity]:
    """A dialer that agrees on TLS and then says this, word by word; what it hears, and how it ends for the acceptor."""
    heard: list[HandshakeError | Identity] = []
    answers = b""
    async with sockets() as (dialed, accepted), anyio.create_task_group() as tasks:

        async def accept() -> None:
            heard.append(await outcome(accepted, acceptor, dials=False))

        tasks.start_soon(accept)
        assert end.tls is not None
        stream, _ = await end.tls.secure(dialed, dialer=True, env=ENV)
        for word in words:
            await stream.send(word)
            answers += await stream.receive()
    return answers, heard[0]


@pytest.mark.anyio
async def test_another_major_version(matrix: dict[str, Case], anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    good = matrix["valid node"].dialer
    body = msgspec.msgpack.encode([[2, 3], "laid out", "in another way"])
    answers, heard = await say(good, good, pack_header(len(body) + 1, Kind.HELLO) + body)
    assert isinstance(heard, HandshakeError)
    assert heard.code == "version"
    assert answers[4] == Kind.REFUSE
    assert b"version" in answers


@pytest.mark.anyio
@pytest.mark.parametrize("secret", [SECRET, None])
async def test_a_replayed_dialer(matrix: dict[str, Case], secret: bytes | None, anyio_backend_name: str) -> None:
    """With a secret its proof is worth nothing; without one a certificate of its own is all it needs, and all it shows."""
    assert sniffio.current_async_library() == anyio_backend_name
    end = matrix["valid node"].dialer._replace(secret=secret)
    one, other = session_of(end, dials=True), session_of(end, dials=False)
    hello = one.start()
    other.receive_data(hello)
    one.receive_data(other.data_to_send())
    confirm = one.data_to_send()
    answers, heard = await say(end, end, hello, confirm)
    if secret is not None:
        assert isinstance(heard, HandshakeError)
        assert heard.code == "authentication"
        assert b"authentication" in answers
    else:
        assert isinstance(heard, Identity)


@pytest.mark.anyio
async def test_a_replay_by_one_without_the_certificate(matrix: dict[str, Case], anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    good = matrix["valid node"].dialer
    hello = session_of(good, dials=True).start()
    nobody = matrix["no certificate, dials"].dialer
    with pytest.raises(ExceptionGroup) as caught:
        await say(nobody, good, hello)
    assert caught.group_contains(anyio.BrokenResourceError, match="certificate required")
