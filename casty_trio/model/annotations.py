"""Reads message types off annotations: the ``Msg`` in ``-> Behavior[Msg]`` of a factory. Floor F1: pure.

Called while the caller's frame still stands, so that annotations kept as text (``from __future__ import annotations``) find
names that are local to a function: they are looked up in the function's own globals, its closure, and then in the frames
that called us, nearest first. An annotation that cannot be resolved is no error here, only no message type; who needs one
says so. Text is evaluated only where the interpreter itself would: it is the program's own source, never a peer's.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

__all__ = ["factory_message_types", "handler_message_types", "is_union", "plain", "union_members"]

FRAMES = 12
"""How many callers up local names are looked for: a decorator or two, and the wrappers of `Behaviors`."""

UNRESOLVABLE = (NameError, AttributeError, TypeError, SyntaxError, ValueError, LookupError)
"""What evaluating an annotation that is not ours may raise."""

_WRAPPERS = {
    getattr(typing, name)
    for name in ("Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
    if hasattr(typing, name)  # ReadOnly came with 3.13
}
_AWAITABLES = (Awaitable, Coroutine)


def plain(annotation: Any) -> Any:
    """An annotation without what only names or decorates it: aliases, ``NewType``, ``Annotated``, ``Required``, ``Final``.

    Raises:
        NameError: the value of a ``type`` alias cannot be resolved.
    """
    while True:
        origin = get_origin(annotation)
        if _is_alias(annotation):
            annotation = annotation.__value__
        elif _is_alias(origin):
            annotation = origin.__value__[get_args(annotation)]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif origin in _WRAPPERS:
            annotation = get_args(annotation)[0]
        else:
            return type(None) if annotation is None else annotation


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, unions and aliases among them opened; of anything else, itself.

    Example:
        >>> union_members(int | None)
        (<class 'int'>, <class 'NoneType'>)
    """
    found: dict[Any, None] = {}
    _collect_members(annotation, found, set())
    return tuple(found)


def factory_message_types(factory: Any) -> tuple[Any, ...]:
    """The message types in the return annotation ``-> Behavior[Msg]`` of a function that makes behaviours.

    Parameters:
        factory: a function, method, partial, or object with ``__call__``.

    Returns:
        The members of ``Msg``; () when there is no annotation, or it cannot be resolved here.

    Example:
        >>> from casty_trio.model.kinds import Behavior
        >>> def cart(entity_id: str) -> "Behavior[int | str]": ...
        >>> factory_message_types(cart)
        (<class 'int'>, <class 'str'>)
    """
    function = _function(factory)
    if function is None:
        return ()
    return _first_found(_behaviour_messages, "return", function, _caller())


def handler_message_types(handler: Any) -> tuple[Any, ...]:
    """The message types in the annotation of a handler's second parameter, ``(ctx, message: Msg)``.

    Parameters:
        handler: a function, method, partial, or object with ``__call__``.

    Returns:
        The members of ``Msg``; () when there is no annotation, or it cannot be resolved here.

    Example:
        >>> def receive(ctx: object, message: "int | str") -> None: ...
        >>> handler_message_types(receive)
        (<class 'int'>, <class 'str'>)
    """
    function = _function(handler)
    if function is None:
        return ()
    try:
        names = list(inspect.signature(handler).parameters)
    except UNRESOLVABLE:
        return ()
    return _first_found(_told, names[1], function, _caller()) if len(names) > 1 else ()


def _caller() -> types.FrameType | None:
    """The frame that called into this module, where the interpreter has frames."""
    here = inspect.currentframe()
    return here.f_back.f_back if here is not None and here.f_back is not None else None


def _is_alias(value: Any) -> bool:
    # By name: `typing` has the type from 3.12 on, and typing_extensions brings its own.
    return type(value).__name__ == "TypeAliasType"


def _collect_members(annotation: Any, found: dict[Any, None], seen: set[int]) -> None:
    annotation = plain(annotation)
    if not is_union(annotation):
        found[annotation] = None
    elif id(annotation) not in seen:
        seen.add(id(annotation))
        for member in get_args(annotation):
            _collect_members(member, found, seen)


def is_union(annotation: Any) -> bool:
    """Whether it is ``A | B`` or ``Union[A, B]``."""
    return get_origin(annotation) in (Union, types.UnionType)


def _function(target: Any) -> Any:
    """The plain function whose annotations count: under partials, decorators with ``__wrapped__``, methods, objects."""
    for _ in range(FRAMES):
        kind: Any = target.__class__
        if issubclass(kind, functools.partial):
            target = target.func
        elif issubclass(kind, types.MethodType):
            target = target.__func__
        elif "__wrapped__" in getattr(target, "__dict__", ()):
            target = target.__wrapped__
        elif issubclass(kind, types.FunctionType):
            return target
        elif issubclass(kind, type) or not hasattr(kind, "__call__"):  # noqa: B004 - the class's own, as a call takes it
            return None
        else:
            target = kind.__call__
    return None


def _first_found(
    read: Callable[[Any], Iterable[Any]], name: str, function: Any, frame: types.FrameType | None
) -> tuple[Any, ...]:
    annotations = getattr(function, "__annotations__", {})
    if name not in annotations:
        return ()
    for annotation in _readings(annotations[name], function, frame):
        try:
            # An alias is evaluated only when it is opened, so reading belongs to the attempt.
            return tuple(read(annotation))
        except UNRESOLVABLE:
            continue
    return ()


def _readings(annotation: Any, function: Any, frame: types.FrameType | None) -> Iterator[Any]:
    """What an annotation means, seen from one scope after the other."""
    if not isinstance(annotation, str) and not _holds_text(annotation):
        yield annotation
        return
    own = {**getattr(function, "__globals__", {}), **_closure(function)}
    # The hints of a stand-in: `get_type_hints` resolves text inside generics too, and takes no bare annotation.
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    for scope in _scopes(own, frame):
        try:
            yield typing.get_type_hints(holder, scope, scope, include_extras=True)["it"]
        except UNRESOLVABLE:
            continue


def _holds_text(annotation: Any) -> bool:
    return any(isinstance(part, str | typing.ForwardRef) or _holds_text(part) for part in get_args(annotation))


def _scopes(own: dict[str, Any], frame: types.FrameType | None) -> Iterator[dict[str, Any]]:
    yield own
    for _ in range(FRAMES):
        if frame is None:
            return
        yield {**frame.f_locals, **own}
        frame = frame.f_back


def _closure(function: Any) -> Mapping[str, Any]:
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    found: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not bound it yet
            continue
    return found


def _behaviour_messages(annotation: Any) -> Iterator[Any]:
    """The ``Msg`` of every ``Behavior[Msg]`` in a return annotation, awaitables opened."""
    for member in union_members(annotation):
        origin, arguments = get_origin(member), get_args(member)
        if origin in _AWAITABLES:
            yield from _behaviour_messages(arguments[-1])
        elif inspect.isclass(origin) and arguments and _is_behaviour(origin):
            yield from _told(arguments[0])


def _is_behaviour(origin: type) -> bool:
    # By name: `behavior` imports this module.
    return any(base.__name__ == "Behavior" and base.__module__ == "casty_trio.model.kinds" for base in origin.__mro__)


def _told(annotation: Any) -> Iterator[Any]:
    for member in union_members(annotation):
        # Any, object and a free type variable name nothing that could be registered.
        if member is not Any and member is not object and not isinstance(member, typing.TypeVar):
            yield member
