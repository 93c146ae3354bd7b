"""The session: every state meets every frame, and whoever may not connect hears why, on both sides (W2, W3)."""

from itertools import product

import msgspec
import pytest
from hypothesis import given, strategies as st

from casty_trio.errors import HandshakeError, MessageTooLargeError, ProtocolError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol import handshake
from casty_trio.protocol.frames import HANDSHAKE_KINDS, RUNNING_KINDS, Kind, encode_frame, pack_header
from casty_trio.protocol.handshake import Authenticator, Side
from casty_trio.protocol.session import TRANSITIONS, Identity, Local, Session, State, state_diagram
from tests.protocol.sessions import ALICE, BOB, LIMITS, acceptor, cut, dialer, ready, refusal, shake


class Secret(Authenticator):
    """A proof that a test can read."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def prove(self, transcript: bytes, side: Side) -> bytes:
        return self.secret + side.encode() + transcript

    def verify(self, transcript: bytes, proof: bytes, side: Side) -> bool:
        return proof == self.prove(transcript, side)


def frame(kind: int, body: bytes = b"") -> bytes:
    return b"".join(encode_frame(kind, body, LIMITS.max_frame))


def in_state(state: State) -> Session:
    """A session brought to this state by its peer, or by itself."""
    one, other = dialer(), acceptor()
    if state is State.DIALING:
        return one
    if state is State.AWAIT_HELLO:
        return other
    hello = one.start()
    if state is State.AWAIT_WELCOME:
        return one
    other.receive_data(hello)
    if state is State.AWAIT_CONFIRM:
        return other
    one.receive_data(other.data_to_send())
    if state is State.AWAIT_READY:
        return one
    other.receive_data(one.data_to_send())
    if state is State.CLOSING:
        other.goodbye("enough")
    elif state is State.CLOSED:
        other.receive_eof()
    elif state is State.ERROR:
        other.receive_data(b"\0\0\0\0")
    other.data_to_send()
    return other


def good_body(kind: int, state: State) -> bytes:
    """A body that nothing is wrong with, if this kind may come in this state."""
    one, other = dialer(), acceptor()
    hello = one.start()
    other.receive_data(hello)
    welcome = other.data_to_send()
    bodies = {
        Kind.HELLO: hello[5:],
        Kind.WELCOME: welcome[5:],
        Kind.CONFIRM: handshake.encode(handshake.Confirm(b"")),
        Kind.REFUSE: handshake.encode(handshake.Refuse("busy", "later")),
    }
    return bodies.get(kind, b"")


@pytest.mark.parametrize(("state", "kind"), [*product(State, [*sorted(HANDSHAKE_KINDS | RUNNING_KINDS), 99, 200])])
def test_every_state_meets_every_kind(state: State, kind: int) -> None:
    session = in_state(state)
    assert session.state is state
    frames = session.receive_data(pack_header(len(good_body(kind, state)) + 1, kind) + good_body(kind, state))
    over = state in (State.CLOSED, State.ERROR)
    assert session.state is TRANSITIONS.get((state, kind), state if over else State.ERROR)
    handed_over = state in (State.READY, State.CLOSING) and kind in RUNNING_KINDS - {Kind.PING, Kind.PONG, Kind.GOODBYE}
    assert [got for got, _ in frames] == ([kind] if handed_over else [])
    if session.state is State.ERROR:
        assert session.error is not None
        assert session.receive_data(frame(Kind.ACTOR)) == []
        with pytest.raises(ProtocolError):
            session.frame(Kind.ACTOR, b"")


@pytest.mark.parametrize("state", State)
def test_every_state_meets_the_end_of_the_stream(state: State) -> None:
    session = in_state(state)
    session.receive_eof()
    over = state in (State.CLOSED, State.ERROR)
    assert session.state is TRANSITIONS.get((state, Local.EOF), state if over else State.ERROR)
    if not over and session.state is State.ERROR:
        assert refusal(session) == "closed"
    assert session.reason


@pytest.mark.parametrize("state", State)
def test_only_a_ready_session_makes_frames(state: State) -> None:
    session = in_state(state)
    if state is State.READY:
        assert session.frame(Kind.ACTOR, b"hi") == (frame(Kind.ACTOR, b"hi"),)
        assert session.goodbye("done") == frame(Kind.GOODBYE, b"done")
        return
    with pytest.raises(ProtocolError, match=state.name):
        session.frame(Kind.ACTOR, b"hi")
    with pytest.raises(ProtocolError, match=state.name):
        session.goodbye("done")


@given(st.lists(st.integers(1, 60), max_size=20), st.lists(st.binary(max_size=3000), max_size=8))
def test_any_cut_of_a_whole_conversation_says_the_same(sizes: list[int], bodies: list[bytes]) -> None:
    """W2: the handshake and what follows it, in any pieces, the last handshake frame and the first message together."""
    limits = LinkSettings(max_frame=1024, max_message=4096)
    one, other = dialer(limits=limits), acceptor(limits=limits)
    shake(one, other, sizes)
    assert (one.peer, other.peer) == (BOB, ALICE)
    assert one.version == other.version == 1
    sent = b"".join(chunk for body in bodies for chunk in one.frame(Kind.ACTOR, body)) + one.goodbye("done")
    got = [(kind, bytes(body)) for piece in cut(sent, sizes) for kind, body in other.receive_data(piece)]
    assert got == [(Kind.ACTOR, body) for body in bodies]
    assert (other.state, other.reason) == (State.CLOSED, "goodbye: done")


def test_messages_right_behind_ready_are_returned() -> None:
    one, other = dialer(), acceptor()
    other.receive_data(one.start())
    one.receive_data(other.data_to_send())
    other.receive_data(one.data_to_send())
    together = other.data_to_send() + b"".join(other.frame(Kind.REPLY, b"early"))
    assert [(kind, bytes(body)) for kind, body in one.receive_data(together)] == [(Kind.REPLY, b"early")]


@given(st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=5), st.booleans())
def test_garbage_never_raises(junk: bytes, sizes: list[int], begun: bool) -> None:
    """W3: whatever a stranger sends, at worst it is refused by name."""
    for session in (acceptor(), in_state(State.AWAIT_CONFIRM), in_state(State.AWAIT_WELCOME)):
        data = pack_header(len(junk) + 1, Kind.HELLO) + junk if begun else junk
        for piece in cut(data, sizes):
            assert session.receive_data(piece) == []
        assert session.peer is None
        if session.error is not None:
            assert refusal(session) in ("protocol", "version")


def test_deeply_nested_bodies_are_refused() -> None:
    session = acceptor()
    session.receive_data(frame(Kind.HELLO, b"\x9b" + b"\x91" * 3000 + b"\xc0"))
    assert refusal(session) == "protocol"


# --- refusals, by name, on both sides ----------------------------------------------------------------------------------


def meet(one: Session, other: Session) -> tuple[str, str]:
    """Let two sessions meet that will not get along; the codes on both sides."""
    shake(one, other)
    assert one.state is other.state is State.ERROR
    assert one.peer is None
    assert other.peer is None
    return refusal(one), refusal(other)


def test_another_system_is_refused_and_not_told_our_name() -> None:
    one, other = dialer(Identity("bank", "node", "x", 9)), acceptor()
    assert meet(one, other) == ("system", "system")
    assert "bank" in str(one.error)
    assert "shop" not in str(one.error)


def test_our_own_uid_is_refused() -> None:
    assert meet(dialer(ALICE), acceptor(ALICE)) == ("self", "self")


def test_unwanted_roles_are_refused() -> None:
    client = Identity("shop", "client", "c", 5)
    nodes_only = Session(BOB, dialer=False, nonce=bytes(32), limits=LIMITS, accept_roles=("node",))
    assert meet(dialer(client), nodes_only) == ("role", "role")
    assert meet(dialer(), acceptor(client)) == ("role", "role")  # a dialer dials nodes
    shake(dialer(client), welcoming := acceptor())
    assert welcoming.peer == client


@pytest.mark.parametrize(("dialers", "acceptors"), [(b"a", b"b"), (b"a", None), (None, b"b")])
def test_a_wrong_or_missing_secret_is_refused(dialers: bytes | None, acceptors: bytes | None) -> None:
    def session(identity: Identity, secret: bytes | None, *, dials: bool) -> Session:
        by = None if secret is None else Secret(secret)
        return Session(identity, dialer=dials, nonce=bytes(32), limits=LIMITS, authenticator=by)

    pair = session(ALICE, dialers, dials=True), session(BOB, acceptors, dials=False)
    assert meet(*pair) == ("authentication", "authentication")


def test_a_shared_secret_is_accepted_and_its_proof_cannot_be_replayed() -> None:
    def session(identity: Identity, nonce: bytes, *, dials: bool) -> Session:
        return Session(identity, dialer=dials, nonce=nonce, limits=LIMITS, authenticator=Secret(b"s"))

    one, other = session(ALICE, b"1" * 32, dials=True), session(BOB, b"2" * 32, dials=False)
    hello = one.start()
    other.receive_data(hello)
    one.receive_data(other.data_to_send())
    confirm = one.data_to_send()
    other.receive_data(confirm)
    assert other.peer == ALICE
    again = session(BOB, b"3" * 32, dials=False)
    again.receive_data(hello)
    again.receive_data(confirm)
    assert refusal(again) == "authentication"


def test_a_driver_may_refuse_by_admission_on_either_side() -> None:
    def session(identity: Identity, *, dials: bool, full: bool) -> Session:
        refusal = HandshakeError("busy", "try later")
        return Session(identity, dialer=dials, nonce=bytes(32), limits=LIMITS, admit=lambda peer: refusal if full else None)

    for one_full, other_full in ((True, False), (False, True)):
        pair = session(ALICE, dials=True, full=one_full), session(BOB, dials=False, full=other_full)
        assert meet(*pair) == ("busy", "busy")
        errors = [each.error for each in pair]
        assert [isinstance(error, HandshakeError) and error.by_peer for error in errors] == [other_full, one_full]
    shake(one := session(ALICE, dials=True, full=False), session(BOB, dials=False, full=False))
    assert one.peer == BOB


def test_refuse_works_in_every_state_of_the_handshake_and_in_no_other() -> None:
    for state in State:
        session = in_state(state)
        session.data_to_send()
        session.refuse("busy", "not\nnow")
        if (state, Local.REFUSE) in TRANSITIONS:
            assert refusal(session) == "busy"
            assert session.data_to_send()[4] == Kind.REFUSE
        else:
            assert session.state is state
            assert session.data_to_send() == b""


def test_no_common_version_is_refused_even_when_the_rest_is_laid_out_in_another_way() -> None:
    session = acceptor()
    session.receive_data(frame(Kind.HELLO, msgspec.msgpack.encode([[2, 3], {"entirely": "different"}])))
    assert refusal(session) == "version"
    assert "[2, 3]" in str(session.error)
    told = dialer()
    told.start()
    told.receive_data(session.data_to_send())
    assert refusal(told) == "version"


def test_fields_of_a_later_version_are_ignored_and_stay_in_the_transcript() -> None:
    one, other = dialer(), acceptor()
    fields = msgspec.msgpack.decode(one.start()[5:])
    fields[0] = [1, 2]
    other.receive_data(frame(Kind.HELLO, msgspec.msgpack.encode([*fields, "new"])))
    assert other.state is State.AWAIT_CONFIRM
    one.receive_data(other.data_to_send())
    assert one.state is State.AWAIT_READY  # without authentication; a proof would differ, for HELLO was changed on the way


def test_a_welcome_chooses_one_version() -> None:
    one, other = dialer(), acceptor()
    other.receive_data(one.start())
    offer, proof = msgspec.msgpack.decode(other.data_to_send()[5:])
    offer[0] = [1, 2]
    one.receive_data(frame(Kind.WELCOME, msgspec.msgpack.encode([offer, proof])))
    assert refusal(one) == "protocol"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "before the handshake is over"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "before the handshake is over"),
        (pack_header(4097, Kind.HELLO), "declares 4097 bytes"),
        (pack_header(2**32 - 1, Kind.HELLO), "declares 4294967295 bytes"),
        (pack_header(0, Kind.HELLO), "declares 0 bytes"),
        (pack_header(1, Kind.ACTOR), "ACTOR before the handshake is over"),
        (pack_header(1, Kind.PING), "PING before the handshake is over"),
        (pack_header(1, Kind.HELLO), "not a body"),
        (pack_header(4, Kind.HELLO) + b"\x91\xa1\xff", "not a body"),
    ],
)
def test_before_authentication_only_small_handshake_frames_are_read(data: bytes, why: str) -> None:
    """W3, W2: judged by the header; the body is not waited for."""
    session = acceptor()
    session.receive_data(data)
    assert refusal(session) == "protocol"
    assert why in str(session.error)
    assert session.data_to_send()[4] == Kind.REFUSE


@given(st.text(max_size=400), st.text(max_size=400))
def test_what_a_peer_writes_is_escaped_and_cut(code: str, reason: str) -> None:
    session = in_state(State.AWAIT_WELCOME)
    session.receive_data(frame(Kind.REFUSE, handshake.encode(handshake.Refuse(code, reason))))
    assert isinstance(session.error, HandshakeError)
    text = str(session.error)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 500
    assert session.data_to_send() == b""  # a refusal is not answered


def test_a_nonce_has_its_size() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Session(ALICE, dialer=True, nonce=b"short", limits=LIMITS)


# --- after the handshake -----------------------------------------------------------------------------------------------


def test_the_smaller_limits_of_both_ends_count_for_what_is_sent() -> None:
    small = LinkSettings(max_frame=2048, max_message=8192)
    one, other = dialer(), acceptor(limits=small)
    shake(one, other)
    assert (one.max_frame, one.max_message) == (other.max_frame, other.max_message) == (2048, 8192)
    frames = other.receive_data(b"".join(one.frame(Kind.ACTOR, bytes(8192))))
    assert [len(body) for _, body in frames] == [8192]
    with pytest.raises(MessageTooLargeError, match="8193 bytes exceeds the limit of 8192"):
        one.frame(Kind.ACTOR, bytes(8193))
    with pytest.raises(MessageTooLargeError, match="PONG"):
        one.frame(Kind.PONG, bytes(2048))
    with pytest.raises(ProtocolError, match="HELLO"):
        one.frame(Kind.HELLO, b"")


def test_pings_are_answered_and_not_handed_over() -> None:
    one, other = ready()
    frames = other.receive_data(frame(Kind.ACTOR, b"1") + frame(Kind.PING, b"42") + frame(Kind.ACTOR, b"2"))
    assert [bytes(body) for _, body in frames] == [b"1", b"2"]
    [(_, body)] = one.receive_data(other.data_to_send() + frame(Kind.ACTOR, b"3"))
    assert bytes(body) == b"3"
    assert one.pong == b"42"


def test_a_flood_of_pings_ends_the_connection() -> None:
    """W2: what came before it is handed over, and little is answered."""
    _, other = ready()
    assert other.receive_data(frame(Kind.PING, bytes(32)) * 100) == []
    assert other.data_to_send() == frame(Kind.PONG, bytes(32)) * 100
    frames = other.receive_data(frame(Kind.ACTOR) + frame(Kind.PING, bytes(32)) * 101 + frame(Kind.ACTOR) * 2)
    assert len(frames) == 1
    assert len(other.data_to_send()) < 5000
    assert other.state is State.ERROR
    assert "more than 100 PING" in str(other.error)


def test_a_ping_is_small() -> None:
    _, other = ready()
    other.receive_data(frame(Kind.ACTOR) + frame(Kind.PING, bytes(33)))
    assert other.state is State.ERROR


def test_a_fault_keeps_what_came_before_it_and_tells_the_peer() -> None:
    """W2: a bad frame ends that connection with a reason."""
    one, other = ready()
    frames = other.receive_data(frame(Kind.ACTOR, b"good") + pack_header(1, 99))
    assert [bytes(body) for _, body in frames] == [b"good"]
    assert isinstance(other.error, ProtocolError)
    assert one.receive_data(other.data_to_send()) == []
    assert one.state is State.CLOSED
    assert "kind 99" in one.reason


def test_nothing_counts_after_a_goodbye() -> None:
    one, other = ready()
    goodbye = one.goodbye("tired\n")
    frames = other.receive_data(frame(Kind.ACTOR) + goodbye + frame(Kind.ACTOR) + b"\0\0\0\0")
    assert len(frames) == 1
    assert (other.state, other.error) == (State.CLOSED, None)
    assert other.receive_data(frame(Kind.ACTOR)) == []
    assert [kind for kind, _ in one.receive_data(frame(Kind.ACTOR))] == [Kind.ACTOR]  # what was on its way
    one.receive_eof()
    assert (one.state, one.reason) == (State.CLOSED, "closed: tired\\n")


def test_the_diagram_shows_every_state() -> None:
    diagram = state_diagram()
    assert all(state.name in diagram for state in State)
    assert "AWAIT_HELLO --> AWAIT_CONFIRM: HELLO" in diagram
    assert "READY --> CLOSED: GOODBYE, end of stream" in diagram


def test_the_table_leads_nowhere_from_the_end() -> None:
    assert not [source for source, _ in TRANSITIONS if source in (State.CLOSED, State.ERROR)]
    assert set(TRANSITIONS.values()) | {State.DIALING, State.AWAIT_HELLO} == set(State)


def test_a_session_tells_who_and_where_it_is() -> None:
    """In its `repr`: the side, this end's name, the state."""
    here, there = dialer(), acceptor()
    assert (repr(here), repr(there)) == ("<Session dialer 'alice' DIALING>", "<Session acceptor 'bob' AWAIT_HELLO>")
    shake(here, there)
    assert (repr(here), repr(there)) == ("<Session dialer 'alice' READY>", "<Session acceptor 'bob' READY>")


def test_a_fault_in_a_body_ends_a_session_once() -> None:
    """W2: the peer is told the reason; a fault that was there before, or a goodbye, is not said again."""
    one, other = ready()
    one.fault(ProtocolError("no such thing"))
    assert (one.state, one.reason) == (State.ERROR, "no such thing")
    one.fault(ProtocolError("another"))
    assert one.reason == "no such thing"
    assert other.receive_data(one.data_to_send()) == []
    assert (other.state, other.reason) == (State.CLOSED, "goodbye: protocol error: no such thing")
    leaving, _ = ready()
    leaving.goodbye("enough")
    leaving.fault(ProtocolError("too late"))
    assert (leaving.state, leaving.data_to_send()) == (State.ERROR, b"")
