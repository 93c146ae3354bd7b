"""The codec's doors: registration, names, errors at the sender, slicing, evolution, a user's converter (W1, W4)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import attrs
import cattrs
import msgspec
import pytest

from casty_trio.errors import DecodeError, EncodeError, UnknownTypeNameError, UnsupportedTypeError
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import naming
from casty_trio.protocol.codec import Codec, message
from casty_trio.protocol.naming import wire_name
from tests.protocol.test_codec_laws import FakeRef, read_ref, there_and_back, write_ref
from tests.protocol.wrapped import Wrapped, handing_on

HERE = "tests.protocol.test_codec"
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    name: str
    price: int = 0


@dataclass(frozen=True)
class Reply:
    items: list[Item]


@dataclass(frozen=True)
class GetItems:
    reply_to: ActorRef[Reply | None]


@dataclass(frozen=True)
class Note:
    about: Any


@dataclass(frozen=True)
class Holder:
    function: Any
    bad: "list[complex]"


class Base:
    """No data here."""


@dataclass(frozen=True)
class First(Base):
    n: int


@dataclass(frozen=True)
class Second(Base):
    n: int


@dataclass
class Plain:
    n: int


@dataclass
class Order:
    plain: Plain
    many: list[Plain] = field(default_factory=list)


@attrs.frozen
class AttrsPlain:
    n: int


@dataclass
class TaggedOrder:
    plain: AttrsPlain
    about: Any = None


# --- registration and names ---


def test_registering_follows_fields_unions_and_replies() -> None:
    """All types that the fields reach, and through a ref the messages it takes."""
    codec = Codec([GetItems])
    assert {f"{HERE}:GetItems", f"{HERE}:Reply", f"{HERE}:Item"} <= set(codec.names)
    assert "int" in codec.names
    assert f"{HERE}:Note" not in codec.names


def test_a_base_without_data_stands_for_its_subclasses() -> None:
    """Also as a field, where they are tagged."""
    codec = Codec([Base])
    assert {f"{HERE}:First", f"{HERE}:Second"} <= set(codec.names)
    assert there_and_back(codec, First(1)) == First(1)


def test_registration_is_atomic() -> None:
    """When one type of a call is refused, none of that call is registered, and the codec goes on."""
    codec = Codec([Note])
    before = codec.names
    with pytest.raises(UnsupportedTypeError):
        codec.register(Item, GetItems, Holder)
    assert codec.names == before
    assert there_and_back(codec, Item("a")) == Item("a")


def test_registering_again_changes_nothing() -> None:
    """Every spawn registers, so it must be cheap and idempotent."""
    codec = Codec([GetItems])
    before = codec.names
    codec.register(GetItems, Item | Reply, list[Item])
    assert codec.names == before


def test_what_is_sent_is_registered_on_the_way() -> None:
    """By the sender only: a receiver has to know the type by itself."""
    sender, receiver = Codec(), Codec()
    name, body = sender.encode(Item("a"), write_ref)
    assert name in sender.names
    with pytest.raises(UnknownTypeNameError, match=f"{HERE}:Item"):
        receiver.decode(name, body, read_ref)


def test_builtins_have_short_names() -> None:
    """And are known to every codec."""
    codec = Codec()
    assert [wire_name(cls) for cls in (type(None), int, str, dict, Decimal)] == ["None", "int", "str", "dict", "Decimal"]
    assert codec.encode(FakeRef("/a"), write_ref)[0] == "ActorRef"
    assert there_and_back(codec, FakeRef("/a")) == FakeRef("/a")


def test_two_classes_of_one_name_are_refused() -> None:
    """A function that defines a class makes another one each time it runs."""

    def make() -> type:
        @dataclass
        class Local:
            n: int

        return Local

    first, second = make(), make()
    codec = Codec([first])
    assert codec.decode(*codec.encode(first(1), write_ref), read_ref) == first(1)
    with pytest.raises(UnsupportedTypeError, match="@message") as caught:
        codec.register(second)
    assert str(caught.value).count("Local") >= 2


def test_the_main_module_has_its_real_name() -> None:
    """The same class has one name in the program that is run and in one that imports it."""
    here = Path(__file__).parent
    code = "import runpy, sys; sys.argv[0] = ''; runpy.run_module('main_names', run_name='__main__', alter_sys=True)"
    source = (
        "from dataclasses import dataclass\nfrom casty_trio.protocol.codec import Codec\n"
        "@dataclass\nclass A:\n    n: int\nif __name__ == '__main__':\n    print(Codec().encode(A(1), None)[0])\n"
    )
    root = here.parent.parent
    for run in (["-m", "main_names"], ["main_names.py"], ["-c", code]):
        with _program(source) as folder:
            done = subprocess.run(
                [sys.executable, *run],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": f"{root}:{folder}"},
                capture_output=True,
                text=True,
                check=True,
            )
        assert done.stdout.strip() == "main_names:A"


class _program:  # noqa: N801 - used like a function
    def __init__(self, source: str) -> None:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        Path(self._folder.name, "main_names.py").write_text(source)

    def __enter__(self) -> str:
        return self._folder.name

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


# --- @message ---


@pytest.fixture
def names() -> Iterator[None]:
    """Names given in a test are gone after it."""
    before = dict(naming._named)
    yield
    naming._named.clear()
    naming._named.update(before)


@message("test.Above")
@dataclass(frozen=True, slots=True)
class Above:
    n: int


@dataclass(frozen=True, slots=True)
@message("test.Below")
class Below:
    n: int


@attrs.frozen
@message("test.Attrs")
class AttrsBelow:
    n: int


@message("test.Struct")
class AStruct(msgspec.Struct):
    n: int


class SubStruct(AStruct):
    m: int = 0


@pytest.mark.parametrize(("cls", "name"), [(Above, "Above"), (Below, "Below"), (AttrsBelow, "Attrs"), (AStruct, "Struct")])
def test_a_given_name_is_used_and_known_everywhere(cls: Any, name: str) -> None:
    """In either order of decorators, and by a codec that never registered the class."""
    body = Codec().encode(cls(5), write_ref)
    assert body[0] == f"test.{name}"
    decoded = Codec().decode(*body, read_ref)
    assert decoded == cls(5)
    assert type(decoded) is cls


def test_a_given_name_is_not_inherited() -> None:
    """A subclass is another type."""
    assert wire_name(SubStruct) == f"{HERE}:SubStruct"


@pytest.mark.usefixtures("names")
def test_given_names_are_unique() -> None:
    """Also against builtins; the same class made again takes its name over."""
    with pytest.raises(UnsupportedTypeError, match=r"test\.Above"):
        message("test.Above")(Item)
    for bad in ("", "int", "a\nb", "x" * 201):
        with pytest.raises(UnsupportedTypeError, match="wire name"):
            message(bad)
    again = make_dataclass("Again", ["n"])
    assert message("test.Again")(again) is again
    twin = make_dataclass("Again", ["n"])
    assert message("test.Again")(twin) is twin


# --- errors at the sender ---


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_too_large_ints_are_refused_at_the_sender(number: int) -> None:
    """With the path to the number."""
    codec = Codec([Reply, Note])
    with pytest.raises(EncodeError, match=r"Reply\.items\[1\]\.price cannot be encoded"):
        codec.encode(Reply([Item("a"), Item("b", number)]), write_ref)
    with pytest.raises(EncodeError, match=r"Note\.about\['k'\]"):
        codec.encode(Note({"k": number}), write_ref)
    assert there_and_back(codec, Item("fine")) == Item("fine")


def test_values_of_the_wrong_kind_are_refused_at_the_sender() -> None:
    """A lock in a field of anything, a function in a field of text: nothing becomes a dict by accident."""
    codec = Codec([Note, Item])
    for bad in (Note(object()), Note(Plain(1)), Note([print]), Item(print), Item("a", object())):  # type: ignore[arg-type]
        with pytest.raises(EncodeError):
            codec.encode(bad, write_ref)
    with pytest.raises(UnsupportedTypeError):
        codec.encode(object(), write_ref)


def test_text_that_is_no_unicode_is_refused_at_the_sender() -> None:
    """A lone surrogate."""
    with pytest.raises(EncodeError, match=r"Item\.name"):
        Codec().encode(Item("\ud800"), write_ref)


def test_a_failing_writer_of_refs_is_the_callers_error() -> None:
    """And leaves the codec as it was."""

    def refuse(ref: ActorRef[Any]) -> tuple[int, bytes]:
        raise EncodeError("not on this link")

    codec = Codec([GetItems])
    for value in (GetItems(FakeRef("/a")), Note(FakeRef("/a"))):
        with pytest.raises(EncodeError, match="not on this link"):
            codec.encode(value, refuse)
        assert there_and_back(codec, value) == value


# --- slicing ---


def test_a_subclass_of_a_fields_class_is_refused_in_either_order() -> None:
    """msgspec alone would send it as its base."""
    from tests.protocol.test_codec_slicing import Special, SpecialOrder

    for types in ((SpecialOrder, Special), (Special, SpecialOrder)):
        codec = Codec(types[:1])
        with pytest.raises(UnsupportedTypeError, match=r"SpecialOrder\.first .*Special"):
            codec.register(types[1])


def test_a_value_of_an_unregistered_subclass_is_refused_at_the_sender() -> None:
    """Whether msgspec serves the class or parts of it are tagged, and also within a tagged value."""

    @dataclass
    class Fancy(Plain):
        more: int = 0

    @attrs.frozen
    class FancyAttrs(AttrsPlain):
        more: int = 0

    codec = Codec([Order, TaggedOrder, Note])
    fancy = Order(Fancy(1))
    for bad in (
        fancy,
        Order(Plain(1), [Plain(2), Fancy(1)]),
        Note(fancy),
        Note([fancy]),
        [fancy],
        TaggedOrder(FancyAttrs(1)),
    ):
        with pytest.raises(EncodeError, match="Fancy"):
            codec.encode(bad, write_ref)
    good = Order(Plain(1), [Plain(2)])
    assert there_and_back(codec, good) == good
    assert there_and_back(codec, TaggedOrder(AttrsPlain(1), 2)) == TaggedOrder(AttrsPlain(1), 2)


# --- evolution ---


def test_unknown_fields_are_ignored_and_missing_ones_filled() -> None:
    """So a class may gain fields with defaults, and lose fields."""
    codec = Codec([Item, Note, TaggedOrder])
    encode = msgspec.msgpack.encode
    assert codec.decode(f"{HERE}:Item", encode({"name": "a", "new": [1, {}]}), read_ref) == Item("a", 0)
    assert codec.decode(f"{HERE}:TaggedOrder", encode({"plain": {"n": 1}, "new": {"x": 1}}), read_ref) == TaggedOrder(
        AttrsPlain(1)
    )
    with pytest.raises(DecodeError, match="name"):
        codec.decode(f"{HERE}:Item", encode({"price": 1}), read_ref)
    with pytest.raises(DecodeError, match="plain"):
        codec.decode(f"{HERE}:TaggedOrder", encode({"about": ["int", 1]}), read_ref)


# --- generics, envelopes ---


class Pair(msgspec.Struct, Generic[T], frozen=True):
    left: T
    right: T


def test_a_generic_message_carries_its_free_fields_tagged() -> None:
    """A value does not know its type arguments, so its fields say what they are."""
    codec = Codec([Pair[int], ShardEnvelope[Item]])
    value = ShardEnvelope("user-1", Item("a", 2))
    assert there_and_back(codec, value) == value
    assert there_and_back(codec, Pair(Item("a"), (1, "b"))) == Pair(Item("a"), (1, "b"))


# --- a user's converter ---


@dataclass(frozen=True)
class Located:
    path: PurePosixPath
    ref: ActorRef[int]
    about: Any = None


class Money:
    """A class without fields, as some library might have it."""

    def __init__(self, cents: int, tip: Any = None) -> None:
        self.cents = cents
        self.tip = tip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and (self.cents, self.tip) == (other.cents, other.tip)

    def __hash__(self) -> int:
        return hash(self.cents)


def converter() -> cattrs.Converter:
    made = cattrs.Converter()
    made.register_unstructure_hook(PurePosixPath, str)
    made.register_structure_hook(PurePosixPath, lambda text, _: PurePosixPath(text))
    made.register_unstructure_hook(Money, lambda money: {"c": money.cents, "tip": money.tip})
    made.register_structure_hook(Money, lambda plain, _: Money(plain["c"], plain["tip"]))
    made.register_unstructure_hook(Item, lambda item: f"{item.name}={item.price}")
    made.register_structure_hook(Item, lambda text, _: Item(text.split("=")[0], int(text.split("=")[1])))
    return made


def test_a_users_hooks_serve_what_could_not_travel() -> None:
    """As a message, in a field, and tagged."""
    with pytest.raises(UnsupportedTypeError, match="Money"):
        Codec([Money])
    codec = Codec([Located, Money, Note], converter=converter())
    values = [
        Located(PurePosixPath("/a"), FakeRef("/r"), [PurePosixPath("b"), Money(3)]),
        Money(5, FakeRef("/t")),
        Note(Money(1)),
    ]
    for value in values[1:]:
        assert there_and_back(codec, value) == value
    codec.register(PurePosixPath)
    assert there_and_back(codec, values[0]) == values[0]


def test_a_users_hooks_replace_the_usual_form() -> None:
    """Also within a class that msgspec would have served."""
    codec = Codec([Reply], converter=converter())
    name, body = codec.encode(Reply([Item("a", 5)]), write_ref)
    assert msgspec.msgpack.decode(body) == {"items": ["a=5"]}
    assert codec.decode(name, body, read_ref) == Reply([Item("a", 5)])
    with pytest.raises(DecodeError):
        codec.decode(name, msgspec.msgpack.encode({"items": ["a"]}), read_ref)


def test_hooks_that_hand_on_to_their_converter_get_the_codecs_forms() -> None:
    """`Any`, unions, classes and refs inside."""

    kind = list[Item | Note | ActorRef[int]]
    codec = Codec([Wrapped, Item, Note], converter=handing_on(kind))
    parts = [Item("a"), Note((1, {2})), FakeRef("/a")]
    assert there_and_back(codec, Wrapped(parts)).parts == parts
