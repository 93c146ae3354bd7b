"""The shared secret: who knows it is let in, by a proof of this handshake and this side only, and nothing tells it (W3)."""

import copy
import logging
import pickle

import pytest
from hypothesis import given, strategies as st

from casty_trio.errors import SettingsError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity, NoAuthentication, Side
from casty_trio.protocol.secret import SharedSecret, authenticator_of
from casty_trio.protocol.session import Session, State
from tests.protocol.sessions import ALICE, BOB, LIMITS, refusal, shake

SECRET = "Zm9ydHktdHdvIGFuZCBub3QgYSBieXRlIGxlc3MgMTIzNDU"
OTHER = SECRET.swapcase()
CAROL = Identity("shop", "node", "carol", 3, "127.0.0.1", 25522)


def session(identity: Identity, nonce: bytes, secret: str | bytes | None = SECRET, *, dials: bool) -> Session:
    by = authenticator_of(secret)
    return Session(identity, dialer=dials, nonce=nonce * 32, limits=LIMITS, authenticator=by)


def pair(dialers: str | bytes | None = SECRET, acceptors: str | bytes | None = SECRET) -> tuple[Session, Session]:
    return session(ALICE, b"1", dialers, dials=True), session(BOB, b"2", acceptors, dials=False)


def test_both_ends_that_know_it_are_let_in() -> None:
    shake(*(both := pair()))
    assert [end.state for end in both] == [State.READY, State.READY]
    shake(*(both := pair(SECRET, SECRET.encode())))
    assert both[1].peer == ALICE
    shake(*(both := pair(f"  {SECRET}\n", SECRET)))  # a file ends with a line end
    assert both[1].peer == ALICE


@pytest.mark.parametrize(("dialers", "acceptors"), [(SECRET, OTHER), (SECRET, None), (None, SECRET)])
def test_a_wrong_or_missing_secret_is_refused_by_name_on_both_sides(dialers: str | None, acceptors: str | None) -> None:
    """W3: and neither sees who the other is."""
    shake(*(both := pair(dialers, acceptors)))
    assert [refusal(end) for end in both] == ["authentication", "authentication"]
    assert [end.peer for end in both] == [None, None]


def conversation() -> tuple[bytes, bytes, bytes, bytes]:
    """What two ends that know the secret have said: HELLO, WELCOME, CONFIRM, READY."""
    one, other = pair()
    hello = one.start()
    other.receive_data(hello)
    welcome = other.data_to_send()
    one.receive_data(welcome)
    confirm = one.data_to_send()
    other.receive_data(confirm)
    return hello, welcome, confirm, other.data_to_send()


def test_a_replayed_dialer_is_refused() -> None:
    """Its HELLO is answered with another nonce, so its CONFIRM proves nothing."""
    hello, _, confirm, _ = conversation()
    again = session(BOB, b"3", dials=False)
    again.receive_data(hello)
    assert again.state is State.AWAIT_CONFIRM
    again.receive_data(confirm)
    assert refusal(again) == "authentication"


def test_a_replayed_acceptor_is_refused() -> None:
    _, welcome, _, ready = conversation()
    again = session(ALICE, b"4", dials=True)
    again.start()
    again.receive_data(welcome + ready)
    assert refusal(again) == "authentication"


def test_a_proof_sent_back_is_none() -> None:
    """W3: One that knows no secret lets the acceptor prove, and hands it its own proof."""
    mute = session(CAROL, b"5", None, dials=True)
    victim = session(BOB, b"2", dials=False)
    victim.receive_data(mute.start())
    welcome = victim.data_to_send()
    proof = welcome[-32:]
    victim.receive_data(b"\0\0\0\x24\x03" + b"\x91\xc4\x20" + proof)
    assert refusal(victim) == "authentication"


def test_a_node_is_not_its_own_peer() -> None:
    """Whoever hands its own words back to it, from a listener of its own, is refused for that."""
    dials, accepts = session(ALICE, b"1", dials=True), session(ALICE, b"2", dials=False)
    shake(dials, accepts)
    assert [refusal(dials), refusal(accepts)] == ["self", "self"]


@given(st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["hello", "welcome"]))
def test_whatever_is_changed_on_the_way_is_refused(position: int, change: int, which: str) -> None:
    """The proof is over every byte that both ends said: roles, versions, limits, names and nonces."""
    one, other = pair()

    def tampered(data: bytes) -> bytes:
        spot = 5 + position % (len(data) - 5)
        return data[:spot] + bytes([data[spot] ^ change]) + data[spot + 1 :]

    hello = one.start()
    other.receive_data(tampered(hello) if which == "hello" else hello)
    welcome = other.data_to_send()
    one.receive_data(tampered(welcome) if which == "welcome" and welcome else welcome)
    other.receive_data(one.data_to_send())
    assert one.state is not State.READY
    assert other.state is not State.READY


def test_the_proof_is_what_it_was() -> None:
    """Known answers: nodes of different releases have to compute the same."""
    secret = SharedSecret(bytes(range(32)))
    dialer, acceptor = (secret.prove(b"transcript", side) for side in ("dialer", "acceptor"))
    assert dialer.hex() == "2126b99143d59a093e1e28d8f955b0c6c31ffc126fd55ad6912341a9377f9bd0"
    assert acceptor.hex() == "252be5a1e9abaeb77509ba6b7bf8437a2a42dc411de0640cc5f5bc5e2e790d14"


@given(st.binary(max_size=40), st.sampled_from(["dialer", "acceptor"]))
def test_nothing_but_the_proof_is_one(proof: bytes, side: Side) -> None:
    secret = SharedSecret(SECRET)
    assert not secret.verify(b"transcript", proof, side)
    assert secret.verify(b"transcript", secret.prove(b"transcript", side), side)


@pytest.mark.parametrize(
    "bad",
    ["", "hunter2", SECRET[:42], " " * 60, "a" * 60, b"", bytes(31), bytes(64), b"0123456" * 10, b"ab" * 40, 42, ["x"]],
    ids=repr,
)
def test_what_is_short_or_made_up_is_refused_and_not_told(bad: str | bytes) -> None:
    with pytest.raises(SettingsError, match="casty_trio secret") as caught:
        SharedSecret(bad)
    assert not bad or str(bad) not in str(caught.value)


def test_nothing_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = SharedSecret(SECRET)
    shown = [repr(secret), str(secret), str([getattr(secret, name, None) for name in dir(secret)])]
    shown += [repr(end) + str(vars(end)) for end in pair()]
    assert not any(SECRET in text for text in [*shown, caplog.text])
    with pytest.raises(TypeError, match="not copied"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="not copied"):
        copy.deepcopy(secret)


def test_without_one_nothing_is_demanded() -> None:
    assert isinstance(authenticator_of(None), NoAuthentication)
    assert isinstance(authenticator_of(SECRET), SharedSecret)


def test_handshakes_with_a_secret_fit_their_frames() -> None:
    limits = LinkSettings()
    long = Identity("s" * 255, "client", "n" * 255, 2**63 - 1, "h" * 255, 65_535)
    dials = Session(long, dialer=True, nonce=b"1" * 32, limits=limits, authenticator=SharedSecret(SECRET))
    other = Identity("s" * 255, "node", "o" * 255, 7, "h" * 255, 65_535)
    accepts = Session(other, dialer=False, nonce=b"2" * 32, limits=limits, authenticator=SharedSecret(SECRET))
    shake(dials, accepts)
    assert accepts.state is State.READY
    assert dials.start() == b""
    assert accepts.frame(Kind.REPLY, b"x")
