"""Message types are found in annotations as users write them, wherever the names in them are."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NewType, Optional, TypeVar, Union

import pytest

from casty_trio.model.annotations import factory_message_types, handler_message_types, plain, union_members
from casty_trio.model.behavior import Behaviors
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.kinds import Behavior, Sharded

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class A:
    n: int


@dataclass
class B:
    n: int


Alias = Union[A, B]  # noqa: UP007 - the older spelling
Id = NewType("Id", str)


def nothing(entity_id: str) -> Behavior[Any]:
    return Behaviors.same()


def unannotated(entity_id):  # type: ignore[no-untyped-def]
    return Behaviors.same()


def one(entity_id: str) -> Behavior[A]:
    return Behaviors.same()


def several(entity_id: str) -> Behavior[A | B | int]:
    return Behaviors.same()


def aliased(entity_id: str) -> Behavior[Alias]:
    return Behaviors.same()


def optional(entity_id: str) -> Behavior[Optional[A]]:  # noqa: UP045 - the older spelling
    return Behaviors.same()


def decorated(entity_id: str) -> Annotated[Behavior[Annotated[A | Id, "doc"]], "doc"]:
    return Behaviors.same()


def generic(entity_id: str) -> Behavior[ShardEnvelope[A]]:
    return Behaviors.same()


def maybe(entity_id: str) -> Behavior[A] | None:
    return None


async def coroutine(entity_id: str) -> Behavior[A]:
    return Behaviors.same()


def awaitable(entity_id: str) -> Awaitable[Behavior[A]]:
    return coroutine(entity_id)


def other(entity_id: str) -> list[A]:
    return []


def free(entity_id: T) -> Behavior[T]:
    return Behaviors.same()


def for_checkers_only(entity_id: str) -> Behavior[Fraction]:
    return Behaviors.same()


def sharded() -> Sharded[A]:
    return Behaviors.sharded(one)


def wrapping(function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper  # type: ignore[return-value]  # as decorators have it


class Factory:
    def __call__(self, entity_id: str) -> Behavior[A]:
        return Behaviors.same()

    def method(self, entity_id: str) -> Behavior[B]:
        return Behaviors.same()

    @classmethod
    def of_class(cls, entity_id: str) -> Behavior[A | B]:
        return Behaviors.same()

    @staticmethod
    def static(entity_id: str) -> Behavior[B]:
        return Behaviors.same()


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (nothing, ()),
        (unannotated, ()),
        (one, (A,)),
        (several, (A, B, int)),
        (aliased, (A, B)),
        (optional, (A, type(None))),
        (decorated, (A, str)),
        (generic, (ShardEnvelope[A],)),
        (maybe, (A,)),
        (coroutine, (A,)),
        (awaitable, (A,)),
        (other, ()),
        (free, ()),
        (for_checkers_only, ()),
        (sharded, (A,)),
        (functools.partial(several), (A, B, int)),
        (functools.partial(functools.partial(one), "x"), (A,)),
        (wrapping(one), (A,)),
        (functools.cache(one), (A,)),
        (Factory(), (A,)),
        (Factory().method, (B,)),
        (Factory.of_class, (A, B)),
        (Factory.static, (B,)),
        (Factory, ()),
        (lambda entity_id: Behaviors.same(), ()),
        (None, ()),
        ("one", ()),
        (print, ()),
    ],
)
def test_a_factorys_messages_are_in_its_return_annotation(factory: Any, expected: tuple[Any, ...]) -> None:
    """And where there are none to be found, the answer is empty, and no error."""
    assert factory_message_types(factory) == expected


def test_names_local_to_the_defining_function_are_found() -> None:
    """In the frame that calls, for that is where the function was made."""

    @dataclass
    class Local:
        n: int

    def cart(entity_id: str) -> Behavior[Local | A]:
        return Behaviors.same()

    assert factory_message_types(cart) == (Local, A)
    assert Behaviors.sharded(cart).message_types == (Local, A)


def test_local_names_are_found_some_callers_up() -> None:
    """A helper between the definition and us does no harm."""

    class Local:
        pass

    def cart(entity_id: str) -> Behavior[Local]:
        return Behaviors.same()

    def helper(factory: Any) -> Any:
        return (lambda: Behaviors.sharded(factory).message_types)()

    assert helper(cart) == (Local,)


def made() -> Callable[[str], Behavior[Any]]:
    class Gone:
        pass

    def uses_it(entity_id: str) -> Behavior[Gone]:
        Gone()
        return Behaviors.same()

    return uses_it


def made_and_forgotten() -> Callable[[str], Behavior[Any]]:
    class Gone:
        pass

    def forgets_it(entity_id: str) -> Behavior[Gone]:
        return Behaviors.same()

    return forgets_it


def test_names_in_the_closure_are_found() -> None:
    """They outlive the frame; a name that nothing keeps is not found, and that is no error."""
    (found,) = factory_message_types(made())
    assert found.__qualname__ == "made.<locals>.Gone"
    assert factory_message_types(made_and_forgotten()) == ()


def test_own_names_win_over_those_of_callers() -> None:
    """A local of the caller that has the name of a global of the function is another thing."""
    A = B  # noqa: N806, F841 - shadows on purpose
    assert factory_message_types(one)[0].__name__ == "A"


def test_a_name_that_is_not_bound_yet_is_not_found() -> None:
    """The enclosing function makes the class only afterwards; that is no error."""

    def early(entity_id: str) -> Behavior[Later]:
        Later()
        return Behaviors.same()

    found = factory_message_types(early)

    class Later:
        pass

    assert found == ()
    assert factory_message_types(early) == (Later,)


def test_a_factory_read_near_the_bottom_of_the_stack() -> None:
    """In a thread there are fewer callers than are looked at."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(factory_message_types, made_and_forgotten()).result() == ()
        assert pool.submit(factory_message_types, several).result() == (A, B, int)


def test_plain_and_union_members() -> None:
    """What only decorates a type is taken off."""
    assert plain(Annotated[Id, 1]) is str
    assert plain(None) is type(None)
    assert union_members(Optional[Annotated[A | B, 1]]) == (A, B, type(None))  # noqa: UP045 - the older spelling


def test_a_handler_without_a_readable_signature_tells_no_type() -> None:
    def receive(ctx: object, message: int) -> None: ...

    receive.__signature__ = "none"  # type: ignore[attr-defined] # what decorators leave behind may be anything
    assert handler_message_types(receive) == ()
