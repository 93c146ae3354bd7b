"""A program's own encoding of its types, on both ends."""

import json
from dataclasses import dataclass
from typing import Any

import cattrs
import pytest

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    EncodeError,
    MessageTooLargeError,
    ReplyDecodeError,
    RequestRefusedError,
    SettingsError,
    ShardEnvelope,
    as_converter,
)
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import make_client, make_node, small_link


class Money:
    """Neither msgspec nor cattrs know it."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


@dataclass(frozen=True)
class Double:
    """Wants twice as much."""

    money: Money
    reply_to: ActorRef[Money]


class AsJson:
    """Writes `Money` as JSON."""

    types = (Money,)

    def __init__(self, *, broken: str = "") -> None:
        self.broken = broken

    def encode(self, value: Money) -> bytes:
        if self.broken == "encode":
            raise ValueError("no")
        text: Any = json.dumps([value.cents] * (10_000 if self.broken == "large" else 1))
        return text if self.broken == "text" else text.encode()  # type: ignore[no-any-return] # as who has no types would

    def decode(self, data: bytes, kind: type[Any]) -> Any:
        if self.broken == "decode":
            raise ValueError("no")
        return 5 if self.broken == "kind" else kind(json.loads(data)[0])


def bank(entity_id: str) -> Behavior[Double]:
    def receive(ctx: ActorContext[Double], message: Double) -> None:
        message.reply_to.tell(Money(2 * message.money.cents))

    return Behaviors.receive(receive)


def doubled(on_node: AsJson, on_client: AsJson) -> int:
    """What a client gets for 21."""

    found = list[int]()

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, converter=as_converter(on_node), link=small_link()) as node:
            node.spawn(Behaviors.sharded(bank, num_shards=3), "bank")
            async with make_client(sim, serializer=on_client, link=small_link()) as client:
                banks: ActorRef[ShardEnvelope[Double]] = client.entity_ref("bank", num_shards=3)
                money: Money = await client.ask(banks, double)
                found.append(money.cents)

    simulate(scenario, 1)
    return found[0]


def double(reply_to: ActorRef[Money]) -> ShardEnvelope[Double]:
    return ShardEnvelope("a", Double(Money(21), reply_to))


def test_both_ways() -> None:
    assert doubled(AsJson(), AsJson()) == 42


@pytest.mark.parametrize(
    ("on_node", "on_client", "error"),
    [
        ("decode", "", RequestRefusedError),
        ("kind", "", RequestRefusedError),
        ("", "decode", ReplyDecodeError),
        ("", "encode", EncodeError),
        ("", "text", EncodeError),
        ("", "large", MessageTooLargeError),
    ],
)
def test_what_goes_wrong_costs_that_message(on_node: str, on_client: str, error: type[Exception]) -> None:
    """By the errors of any other message; sizes are limited as for any other."""
    with pytest.raises(error):
        doubled(AsJson(broken=on_node), AsJson(broken=on_client))


def test_what_is_none() -> None:
    with pytest.raises(SettingsError, match="serializer must have types, encode"):
        as_converter(5)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="base must be of class"):
        as_converter(AsJson(), base=5)  # type: ignore[arg-type]
    unfit = AsJson()
    unfit.types = ("Money",)  # type: ignore[assignment]
    with pytest.raises(SettingsError, match="types must be a class, not 'Money'"):
        as_converter(unfit)


def test_beside_other_hooks() -> None:
    """A base is copied, and what is no bytes is refused before the serializer sees it."""
    base = cattrs.Converter()
    base.register_unstructure_hook(complex, str)
    converter = as_converter(AsJson(), base)
    assert converter is not base
    assert converter.unstructure(1j) == "1j"
    assert converter.unstructure(Money(5)) == b"[5]"
    assert converter.structure(b"[5]", Money).cents == 5
    with pytest.raises(ValueError, match="a Money travels as bytes, not as str"):
        converter.structure("[5]", Money)
