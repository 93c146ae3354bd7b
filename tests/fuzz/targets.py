"""What the fuzzers feed: frames, the handshake, the bodies of messages, words on membership. Each takes any bytes.

A target returns when the bytes did no harm, and raises when they did: an exception without a name of ours, or a promise
that is not kept. `test_corpus` feeds the kept corpora to them in every run; `nox -s fuzz` looks for new bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import Phase, given, settings

from casty_trio.errors import DecodeError, HandshakeError, ProtocolError
from casty_trio.model.address import ActorAddress
from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.detection import DetectorSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol import gossip, keeping, monitoring, refs, speech, wire
from casty_trio.protocol.effects import Sender
from casty_trio.protocol.frames import Frame, FrameReader, Kind
from casty_trio.protocol.handshake import REFUSALS, Identity
from casty_trio.protocol.keeper import Keeper
from casty_trio.protocol.members import Opinion, Seen, View, malformed
from casty_trio.protocol.membership import Membership
from casty_trio.protocol.monitoring import Monitoring
from casty_trio.protocol.secret import SharedSecret
from casty_trio.protocol.session import HANDSHAKING, Session, State
from casty_trio.protocol.teller import Teller
from tests.protocol.test_codec_laws import CODEC, MESSAGES, FakeRef

CORPUS: Final = Path(__file__).with_name("corpus")

MAX_FRAME, MAX_MESSAGE = 1024, 4096
LIMITS = LinkSettings(max_frame=MAX_FRAME, max_message=MAX_MESSAGE, queue=MAX_MESSAGE)
SECRET, OTHER = SharedSecret(bytes(range(32))), SharedSecret(bytes(range(32, 64)))
ME, YOU = Identity("shop", "node", "me", 1), Identity("shop", "client", "you", 2)
BODIES = (
    wire.EntityFrame,
    wire.ActorFrame,
    wire.ReplyFrame,
    wire.NackFrame,
    wire.CancelFrame,
    wire.StateFrame,
)
NAMES = CODEC.names
KEPT_MOST = 10
FIRST_REF = 250
"""From this first byte on, the rest is the payload of a ref."""


def frames(data: bytes) -> None:
    """The reader: the same frames and the same fault however the bytes are cut, and little kept. The first byte cuts."""
    step, data = (data[0] or 1, data[1:]) if data else (1, b"")
    whole, pieces = FrameReader(MAX_FRAME, MAX_MESSAGE), FrameReader(MAX_FRAME, MAX_MESSAGE)
    at_once = taken(whole.feed(data))
    bit_by_bit = [each for start in range(0, len(data), step) for each in taken(pieces.feed(data[start : start + step]))]
    assert at_once == bit_by_bit
    assert str(whole.fault) == str(pieces.fault)
    assert all(len(body) <= MAX_MESSAGE for _, body in at_once)
    assert len(pieces._rest) <= MAX_FRAME + 5
    assert len(pieces._partial) <= MAX_MESSAGE


def taken(got: list[Frame]) -> list[tuple[int, bytes]]:
    return [(kind, bytes(body)) for kind, body in got]


def handshake(data: bytes) -> None:
    """A session in a state that the first byte chooses: errors by name, and with a secret no peer without proof."""
    choice, data = (data[0], data[1:]) if data else (0, b"")
    state, secret = choice % 4, SECRET if choice & 4 else None
    dialer, acceptor = make(secret, dials=True), make(secret, dials=False)
    victim = [dialer, acceptor, dialer, acceptor][state]
    hello = dialer.start()
    if state >= 2:
        acceptor.receive_data(hello)
    if state == 2:
        dialer.receive_data(acceptor.data_to_send())
    before = victim.state
    messages = victim.receive_data(data)
    victim.data_to_send()
    assert before in HANDSHAKING
    if victim.state is State.ERROR and isinstance(victim.error, HandshakeError):
        assert victim.error.code in REFUSALS or state in (0, 2, 3)  # a peer may refuse with a code of its own
        assert str(victim.error).isprintable()
        assert messages == []
    elif victim.state is State.ERROR:
        assert isinstance(victim.error, ProtocolError)
    if secret is not None and state != 2:  # in 2 the peer has proved it already
        assert victim.peer is None
        assert messages == []


def make(secret: SharedSecret | None, *, dials: bool) -> Session:
    """A fresh session, always the same."""
    nonce = (b"d" if dials else b"a") * 32
    return Session(YOU if dials else ME, dialer=dials, nonce=nonce, limits=LIMITS, authenticator=secret)


def conversation(secret: SharedSecret | None) -> tuple[list[bytes], Session]:
    """What two sessions say until they are ready, and the one that accepted."""
    here, there = make(secret, dials=True), make(secret, dials=False)
    said, data, acceptor = list[bytes](), here.start(), there
    while data:
        said.append(data)
        there.receive_data(data)
        here, there, data = there, here, there.data_to_send()
    return said, acceptor


def bodies(data: bytes) -> None:
    """The body of any frame, and of any message: decoded, or refused by name. The first byte says which."""
    choice, data = (data[0], data[1:]) if data else (0, b"")
    if choice < len(BODIES):
        try:
            frame = wire.unpack(BODIES[choice], data)
        except ProtocolError:
            return
        if isinstance(frame, wire.EntityFrame | wire.ActorFrame | wire.ReplyFrame):
            message(frame.name, bytes(frame.body))
        return
    if choice >= FIRST_REF:
        try:
            read_ref(choice - FIRST_REF, memoryview(data))
        except DecodeError:
            return
    message(NAMES[choice % len(NAMES)], data)


def message(name: str, body: bytes) -> None:
    try:
        CODEC.decode(name, body, read_ref)
    except DecodeError:
        return


def read_ref(code: int, payload: memoryview) -> ActorRef[Any]:
    """As a node reads refs; who they lead to does not matter here."""
    if code == refs.REPLY:
        return FakeRef(f"/reply/{refs.unpack_reply(payload)}")
    if code == refs.ADDRESS:
        return FakeRef(refs.unpack_address(payload).path)
    if code == refs.ENTITY:
        return FakeRef("/".join(("", *refs.unpack_entity(payload))))
    raise DecodeError(f"extension type {code} is no ref")


def membership(data: bytes) -> None:
    """A word on membership: refused by name, or a machine takes it without a fault, and its view is still a good one.

    The first byte says who hears it, a member or a node in no cluster, and who says it, a member or a stranger.
    """
    choice, data = (data[0], data[1:]) if data else (0, b"")
    try:
        word = speech.unpack(data)
    except ProtocolError:
        return
    if isinstance(word, speech.MONITORING):
        watch = Monitoring(1, DetectorSettings(), random.Random(1))
        watch.set_members(0.0, [2, 3])
        watch.on_message(1.0, 2, word)
        watch.tick(2.0)
        return
    me, other = Member(1, "h", 1, "me"), Member(2, "h", 2, "you", status=MemberStatus.UP, up_number=2)
    machine = Membership(me, [("h", 2)] if choice & 1 else [], [], ClusterSettings(), random.Random(1), 0.0)
    machine.tick(0.0)
    if machine.view is not None:
        machine.view = msgspec.structs.replace(machine.view, cluster=5).with_member(other)
    sender = Sender(2 if choice & 2 else 3, ("h", 2))
    machine.receive(1.0, sender, word)
    machine.tick(2.0)
    assert machine.view is None or malformed(machine.view) is None


def remembered(data: bytes) -> None:
    """Words on remembered entities: refused by name, or an owner and a keeper take them without a fault."""
    try:
        frame = keeping.unpack(data)
    except ProtocolError:
        return
    keeper, teller = Keeper(KEPT_MOST), Teller(1.0)
    teller.set_members([2], [2])
    teller.claim(1, (2, 1))
    teller.claim(0, (2, 1))
    teller.begin(0)
    teller.change(0, ["a", "b"], [])
    for word in frame.words:
        if isinstance(word, keeping.Ask | keeping.Note):
            keeper.receive(word)
        else:
            teller.receive(2, word)
        teller.flush(2.0)
        assert keeper.count <= KEPT_MOST
    assert len(keeper.ids(0)) <= KEPT_MOST
    teller.begin(1)


def remembered_words() -> Iterator[bytes]:
    """All that nodes may say about remembered entities."""
    stamp = (2, 1, 3)
    words: tuple[keeping.Word, ...] = (
        keeping.Ask(0, (2, 1)),
        keeping.Ask(1, (3, 1), 2),
        keeping.Told(1, (2, 1), stamp, whole=True, start=0, ids=("a", "b"), more=True),
        keeping.Told(1, (2, 1), stamp, whole=True, start=2, ids=("c",)),
        keeping.Told(1, (9, 1), stamp, whole=False, start=0),
        keeping.Note(0, keeping.NONE, stamp, ("a", "b"), (), more=True, whole=3),
        keeping.Note(0, stamp, (2, 1, 4), ("c",), ("a",), whole=3),
        keeping.Note(0, (2, 1, 4), (2, 1, 5), tuple(map(str, range(2 * KEPT_MOST)))),
        keeping.Kept(0, (2, 1), keeping.NONE, (2, 1, 1), 1, 4),
        keeping.Kept(0, (2, 1), (2, 1, 2)),
        keeping.Kept(0, (3, 1), keeping.NONE),
    )
    for number in range(len(words)):
        yield keeping.pack(keeping.Keep("cart", 2, words[number:]))
        yield keeping.pack(keeping.Keep("cart", 2, words[number : number + 1]))


def words() -> Iterator[bytes]:
    """All that a node may say about membership."""
    members = (Member(1, "h", 1, "me"), Member(2, "h", 2, "you", ("web",), MemberStatus.UP, 2, 1))
    view = View(5, members, ((9, 1),), (Opinion(2, 1, ((1, 0),)),), (Seen(2, 1, 7),), 0)
    for word in (
        gossip.Survey(6, 2),
        gossip.SurveyAnswer(0, 0, able=True, counts=True),
        gossip.Claim(1),
        gossip.ClaimAnswer(1, granted=True),
        gossip.Join(members[1]),
        gossip.JoinRefused("no"),
        gossip.Status(5, 1),
        gossip.State(view),
        gossip.State(view.without([1])),
        gossip.Foreign("h", 3),
        monitoring.Ping(1),
        monitoring.Pong(1),
        monitoring.Probe(3, 1),
        monitoring.ProbeAnswer(3, 1, alive=False),
    ):
        for choice in range(4):
            yield bytes([choice]) + speech.pack(word)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target for target in (frames, handshake, bodies, membership, remembered)
}


def corpus(target: str) -> Iterator[bytes]:
    """The kept inputs of a target, one a line in hexadecimal."""
    for line in (CORPUS / f"{target}.txt").read_text(encoding="ascii").split():
        yield bytes.fromhex(line)


def seeds(target: str) -> Iterator[bytes]:
    """Inputs that are good, to begin with. Those who need a secret to be let in have another one."""
    if target == "handshake":
        for choice in range(8):
            said, _ = conversation(OTHER if choice & 4 else None)
            hello, welcome, confirm, ready = said
            for data in (*said, hello + confirm, welcome + ready):
                yield bytes([choice]) + data
    elif target == "membership":
        yield from words()
    elif target == "remembered":
        yield from remembered_words()
    elif target == "frames":
        _, acceptor = conversation(None)
        for size in (0, 1, 1023, 1024, 4096):
            cancel = b"".join(acceptor.frame(Kind.CANCEL, b"\x91\x01"))
            yield b"\x07" + b"".join(acceptor.frame(Kind.REPLY, bytes(size))) + cancel
    else:
        member, shards = wire.MemberState("n", "h", 1, 2), wire.ShardTypeState("c", 2, (0, 0))
        for number, frame in enumerate(
            (
                wire.EntityFrame(1, 5.0, "cart", 10, "a", NAMES[0], msgspec.Raw(b"\x80")),
                wire.ActorFrame(1, None, "/$clients/1/1", 0, NAMES[1], msgspec.Raw(b"\x90")),
                wire.ReplyFrame(1, NAMES[2], msgspec.Raw(b"\xc0")),
                wire.NackFrame(1, "full", "x"),
                wire.CancelFrame(1),
                wire.StateFrame(1, (member,), 0, (shards,)),
            )
        ):
            yield bytes([number]) + wire.pack(frame)
        yield bytes([FIRST_REF + refs.ADDRESS]) + refs.pack_address(ActorAddress("s", "/p", "h", 1, 2, 3))[1]
        yield bytes([FIRST_REF + refs.ADDRESS]) + b"\x96\xa2\xff\xff\xa1/\xc0\xc0\x00\x00"  # no UTF-8
        yield bytes([FIRST_REF + refs.ENTITY]) + refs.pack_entity("cart", "a")[1]
        yield bytes([FIRST_REF + refs.REPLY]) + refs.pack_reply(1)[1]
        yield from messages()


def messages() -> list[bytes]:
    """Messages of all registered types; the same in every run."""
    found: list[bytes] = []

    @given(MESSAGES)
    @settings(max_examples=200, derandomize=True, database=None, phases=[Phase.generate], deadline=None)
    def collect(value: object) -> None:
        name, body = CODEC.encode(value, lambda ref: refs.pack_entity("cart", ref.path))
        number = NAMES.index(name)
        found.append(bytes([number if number >= len(BODIES) else number + len(NAMES)]) + body)

    collect()
    return found
