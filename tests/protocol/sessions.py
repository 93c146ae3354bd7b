"""Two sessions joined without a connection: what the tests of sessions and links share."""

from collections.abc import Iterable, Sequence

from casty_trio.errors import HandshakeError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.session import Identity, Session

LIMITS = LinkSettings()
ALICE = Identity("shop", "node", "alice", 1, "127.0.0.1", 25520)
BOB = Identity("shop", "node", "bob", 2, "127.0.0.1", 25521)


def dialer(identity: Identity = ALICE, limits: LinkSettings = LIMITS) -> Session:
    return Session(identity, dialer=True, nonce=b"d" * 32, limits=limits)


def acceptor(identity: Identity = BOB, limits: LinkSettings = LIMITS) -> Session:
    return Session(identity, dialer=False, nonce=b"a" * 32, limits=limits)


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces of these sizes; the rest is the last piece."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


def shake(one: Session, other: Session, sizes: Iterable[int] = ()) -> None:
    """Carry bytes back and forth, in pieces of these sizes, until neither has anything to say."""
    here, there, data = one, other, one.start()
    pieces = list(sizes)
    while data:
        for piece in cut(data, pieces):
            assert there.receive_data(piece) == []
        here, there, data = there, here, there.data_to_send()


def ready(limits: LinkSettings = LIMITS) -> tuple[Session, Session]:
    """Two sessions that have shaken hands."""
    pair = dialer(limits=limits), acceptor(limits=limits)
    shake(*pair)
    return pair


def refusal(session: Session) -> str:
    """The code of the handshake error that ended a session."""
    assert isinstance(session.error, HandshakeError)
    return session.error.code
