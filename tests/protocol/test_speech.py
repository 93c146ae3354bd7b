"""What nodes say about membership, as bytes: all of it goes round, and nothing else is taken for it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from casty_trio.errors import ProtocolError
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import gossip, monitoring, speech
from casty_trio.protocol.members import MEMBERS_MOST, Opinion, Seen, View

MEMBER = Member(7, "10.0.0.1", 25_520, "node-1", ("web",), MemberStatus.UP, 1, 2)
VIEW = View(5, (MEMBER,), ((3, 1),), (Opinion(7, 1, ((7, 0),)),), (Seen(7, 1, 9),), 0)
WORDS = [
    gossip.Survey(1, 2),
    gossip.SurveyAnswer(1, 2, able=True, counts=True),
    gossip.Claim(1),
    gossip.ClaimAnswer(1, granted=True),
    gossip.Join(MEMBER),
    gossip.JoinRefused("no"),
    gossip.Status(1, 2),
    gossip.State(VIEW),
    gossip.Foreign("10.0.0.2", 1),
    monitoring.Ping(1),
    monitoring.Pong(1),
    monitoring.Probe(1, 2),
    monitoring.ProbeAnswer(1, 2, alive=True),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_every_word_goes_round(word: speech.Message) -> None:
    assert speech.unpack(speech.pack(word)) == word


def test_there_is_a_test_of_every_word() -> None:
    assert {type(word) for word in WORDS} == set(speech.Message.__args__)


@given(st.binary(max_size=200))
def test_w2_anything_else_is_a_named_error(body: bytes) -> None:
    try:
        speech.unpack(body)
    except ProtocolError:
        return


@given(st.sampled_from(WORDS), st.data())
def test_w2_bytes_that_were_changed_are_a_word_or_a_named_error(word: speech.Message, data: st.DataObject) -> None:
    body = bytearray(speech.pack(word))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        speech.unpack(bytes(body))
    except ProtocolError:
        return


def test_a_view_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        speech.unpack(speech.pack(gossip.State(msgspec.structs.replace(VIEW, cluster=0))))


MOST = 2**64 - 1


@pytest.mark.parametrize(
    "view",
    [
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, counter=MOST),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, up_number=MOST),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, up_number=-1),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, port=65_536),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, host="h" * 256),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, node_id=""),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, node_id="n" * 256),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, roles=("r" * 65,)),)),
        msgspec.structs.replace(VIEW, members=(msgspec.structs.replace(MEMBER, roles=("r",) * 65),)),
        msgspec.structs.replace(VIEW, removed=((3, MOST),)),
        msgspec.structs.replace(VIEW, opinions=(Opinion(7, MOST),)),
        msgspec.structs.replace(VIEW, opinions=(Opinion(7, 1, ((7, MOST),)),)),
        msgspec.structs.replace(VIEW, seen=(Seen(7, MOST, 9),)),
    ],
)
def test_w2_numbers_that_could_not_be_counted_on_and_places_that_cannot_be_dialled_are_refused(view: View) -> None:
    """Who takes in a view adds one to what stands there: what comes of that has to be written again."""
    with pytest.raises(ProtocolError, match="malformed"):
        speech.unpack(speech.pack(gossip.State(view)))


def test_w2_no_cluster_is_larger_than_one_can_be() -> None:
    """To a larger one others give way."""
    for word in (gossip.Survey(1, MEMBERS_MOST + 1), gossip.SurveyAnswer(1, MEMBERS_MOST + 1), gossip.Survey(1, -1)):
        with pytest.raises(ProtocolError, match="malformed"):
            speech.unpack(speech.pack(word))


def test_w2_nobody_is_sent_to_a_place_that_cannot_be_dialled() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        speech.unpack(speech.pack(gossip.Foreign("10.0.0.1", 65_536)))
