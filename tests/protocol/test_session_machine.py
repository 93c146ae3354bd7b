"""The whole table, and who never gets through it: every state, every trigger, bad bodies, any order (W2, W3)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings, strategies as st

from casty_trio.errors import HandshakeError, LinkError, ProtocolError
from casty_trio.protocol import handshake
from casty_trio.protocol.frames import HANDSHAKE_KINDS, MORE, RUNNING_KINDS, USER_KINDS, Kind, pack_header
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.secret import SharedSecret
from casty_trio.protocol.session import HANDSHAKING, TRANSITIONS, Local, Session, State
from tests.protocol.sessions import ALICE, BOB, LIMITS, acceptor, cut, dialer, ready, refusal, shake
from tests.protocol.test_session import good_body, in_state

SECRET, OTHER = SharedSecret(bytes(range(32))), SharedSecret(bytes(range(32, 64)))
KINDS = sorted(HANDSHAKE_KINDS | RUNNING_KINDS)
OVER = (State.CLOSED, State.ERROR)


def frame(kind: int, body: bytes) -> bytes:
    return pack_header(len(body) + 1, kind) + body


# --- The table ------------------------------------------------------------


def test_every_entry_of_the_table_is_taken_and_no_other() -> None:
    """What `TRANSITIONS` says is what happens, for each state and each trigger of any kind."""
    taken: set[tuple[State, int | Local, State]] = set()
    for state in State:
        for kind in KINDS:
            session = in_state(state)
            session.receive_data(frame(kind, good_body(kind, state)))
            if session.state is not State.ERROR and state not in OVER:
                taken.add((state, kind, session.state))
        for trigger in Local:
            session = in_state(state)
            pull(session, trigger)
            if session.state is not state:
                taken.add((state, trigger, session.state))
    good = {(state, trigger, target) for (state, trigger), target in TRANSITIONS.items()}
    refused = {(state, Kind.REFUSE, State.ERROR) for state in State}
    ends_badly = {(state, Local.EOF, State.ERROR) for state in HANDSHAKING}  # no entry is an error, for the stream's end too
    assert taken - ends_badly == good - refused


def pull(session: Session, trigger: Local) -> None:
    """Move a session from inside."""
    match trigger:
        case Local.START:
            session.start()
        case Local.REFUSE:
            session.refuse("busy", "not now")
        case Local.GOODBYE:
            if session.state is State.READY:
                session.goodbye("enough")
        case Local.EOF:
            session.receive_eof()


@pytest.mark.parametrize(("state", "kind"), [*product(State, KINDS)])
def test_a_frame_that_says_more_follows(state: State, kind: int) -> None:
    """Only user messages come in pieces, and only once there are messages."""
    session = in_state(state)
    frames = session.receive_data(frame(kind | MORE, b"a piece"))
    assert frames == []
    in_pieces = state in (State.READY, State.CLOSING) and kind in USER_KINDS
    assert session.state is (state if in_pieces or state in OVER else State.ERROR)
    if in_pieces:
        assert [bytes(body) for _, body in session.receive_data(frame(kind, b" and more"))] == [b"a piece and more"]


@pytest.mark.parametrize(("state", "kind"), [*product(HANDSHAKING, sorted(HANDSHAKE_KINDS))])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\x91" * 3000 + b"\xc0", b"\xff" * 4095, b"\xdd\xff\xff\xff\xff"])
def test_bad_bodies_in_every_state_of_the_handshake(state: State, kind: int, body: bytes) -> None:
    """READY has no body that could be bad; whatever else is not as it should ends the handshake by name."""
    session = in_state(state)
    session.receive_data(frame(kind, body))
    if (state, kind) == (State.AWAIT_READY, Kind.READY):
        assert session.state is State.READY
        return
    assert session.state is State.ERROR
    assert refusal(session) in ("protocol", "version")
    assert session.peer is None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("length", [0, 4097, 65_537, 2**31, 2**32 - 1])
def test_lengths_that_are_not_allowed_in_every_state(state: State, length: int) -> None:
    """Judged by the header alone: nothing of the body is waited for."""
    for kind in (Kind.HELLO, Kind.ACTOR):
        session = in_state(state)
        session.receive_data(pack_header(length, kind))
        running = state in (State.READY, State.CLOSING)
        fine = running and length == 4097 and kind == Kind.ACTOR
        assert session.state is (state if fine or state in OVER else State.ERROR)


@pytest.mark.parametrize("state", State)
def test_nothing_moves_a_session_that_is_over(state: State) -> None:
    session = in_state(state)
    session.receive_eof()
    if session.state not in OVER:
        return
    before = session.state, str(session.error), session.reason
    for kind in KINDS:
        assert session.receive_data(frame(kind, good_body(kind, state))) == []
    for trigger in Local:
        pull(session, trigger)
    assert (session.state, str(session.error), session.reason) == before


# --- What comes twice, or too early ------------------------------------------------------------


@given(st.lists(st.sampled_from(KINDS), max_size=8), st.lists(st.integers(1, 40), max_size=8), st.sampled_from(State))
def test_any_order_of_good_frames_in_any_pieces(kinds: list[int], sizes: list[int], state: State) -> None:
    """Whatever comes, in whatever pieces: the table decides, nothing is raised, and both ways of cutting agree."""
    data = b"".join(frame(kind, good_body(kind, state)) for kind in kinds)
    ends = []
    for pieces in ([data], cut(data, sizes)):
        session = in_state(state)
        got = [(kind, bytes(body)) for piece in pieces for kind, body in session.receive_data(piece)]
        ends.append((session.state, str(session.error), session.reason, got, session.peer))
    assert ends[0] == ends[1]
    expected = state
    for kind in kinds:
        if expected not in OVER:
            expected = TRANSITIONS.get((expected, kind), State.ERROR)
    assert ends[0][0] is expected


# --- Who does not know the secret ------------------------------------------------------------


def knowing(identity: Identity, nonce: bytes, *, dials: bool, secret: SharedSecret = SECRET) -> Session:
    return Session(identity, dialer=dials, nonce=nonce * 32, limits=LIMITS, authenticator=secret)


def overheard() -> list[bytes]:
    """All frames of two conversations: one of those who know the secret, one of those who know another."""
    heard: list[bytes] = []
    for secret, nonces in ((SECRET, (b"1", b"2")), (OTHER, (b"3", b"4"))):
        one, other = (
            knowing(ALICE, nonces[0], dials=True, secret=secret),
            knowing(BOB, nonces[1], dials=False, secret=secret),
        )
        data, here, there = one.start(), one, other
        while data:
            heard.append(data)
            there.receive_data(data)
            here, there, data = there, here, there.data_to_send()
    return heard


HEARD = overheard()


@given(st.data())
@settings(max_examples=300)
def test_one_that_overheard_everything_gets_nowhere(data: st.DataObject) -> None:
    """W3: with all frames of another conversation, its own answers, and parts of both put together, it is never let in."""
    dials = data.draw(st.booleans())
    victim = knowing(ALICE if dials else BOB, b"9", dials=dials)
    pool = [*HEARD, victim.start()]
    for _ in range(data.draw(st.integers(1, 5))):
        one = data.draw(st.sampled_from(pool))
        if data.draw(st.booleans()):
            other = data.draw(st.sampled_from(pool))
            spot = data.draw(st.integers(0, len(one)))
            one = one[:spot] + other[spot:]
        assert victim.receive_data(one) == []
        pool.append(victim.data_to_send())
    assert victim.state is not State.READY
    assert victim.peer is None


@pytest.mark.parametrize("kind", sorted(RUNNING_KINDS))
def test_nothing_but_a_handshake_is_read_before_the_proof(kind: int) -> None:
    """W3: not even behind a HELLO that is all right, in the same piece of bytes."""
    victim = knowing(BOB, b"9", dials=False)
    assert victim.receive_data(HEARD[0] + frame(kind, b"anything")) == []
    assert refusal(victim) == "protocol"


# --- Certificates ------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("casty://shop/node", ""),
        ("casty://shop/node/alice", ""),
        ("casty://shop/node/carol", "certificate"),
        ("casty://shop/client", "certificate"),
        ("casty://bank/node", "certificate"),
        ("", "certificate"),
    ],
)
def test_a_certificate_has_to_fit_what_is_said_on_either_side(uri: str, code: str) -> None:
    uris = (uri,) if uri else ()
    one, other = dialer(), acceptor()
    other.certify(uris)
    shake(one, other)
    assert (code == "") is (other.state is State.READY)
    if code:
        assert (refusal(one), refusal(other)) == (code, code)
    one, other = dialer(), acceptor()
    one.certify(tuple(each.replace("alice", "bob") for each in uris))
    shake(one, other)
    assert (code == "") is (one.state is State.READY)
    if code:
        assert (refusal(one), refusal(other)) == (code, code)


def test_what_a_certificate_says_is_escaped_and_cut() -> None:
    one, other = dialer(), acceptor()
    other.certify(("casty://\n\x1b[31m" + "x" * 1_000,))
    shake(one, other)
    for end in (one, other):
        assert str(end.error).isprintable()
        assert len(str(end.error)) < 600


def test_a_session_is_wrong_once() -> None:
    """The first fault is the one that counts, and the peer is told once."""
    _, other = ready()
    other.fault(ProtocolError("the first"))
    told = other.data_to_send()
    other.fault(ProtocolError("the second"))
    assert b"the first" in told
    assert other.data_to_send() == b""
    assert str(other.error) == "the first"


# --- Errors ------------------------------------------------------------


def test_every_error_is_the_peers_or_ours_and_has_a_name() -> None:
    """Errors of a session are `HandshakeError`s with a known code before it is ready, and `ProtocolError`s after."""
    for state, kind in product(State, [*KINDS, 99]):
        session = in_state(state)
        before = session.error
        session.receive_data(frame(kind, b"\xc1"))
        if session.error is before:
            continue
        assert isinstance(session.error, LinkError)
        if state in HANDSHAKING:
            assert isinstance(session.error, HandshakeError)
            assert session.error.code in handshake.REFUSALS
        else:
            assert isinstance(session.error, ProtocolError)


def test_ready_ends_know_each_other() -> None:
    one, other = ready()
    assert (one.peer, other.peer) == (BOB, ALICE)
