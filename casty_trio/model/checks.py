"""Settings and arguments that programs give, checked one way everywhere. Floor F1: pure.

Whatever is wrong with a value, its size or its type, the error is a `SettingsError` that names the parameter, what it may be
and what it was. A bool is no number here, and nothing is converted: a wrong value shows at the door, not in a task later.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Collection, Iterable
from typing import Any, NoReturn, cast

from casty_trio.errors import SettingsError, UsageError
from casty_trio.model.member import LONGEST_ROLE, ROLES_MOST

__all__ = [
    "LONGEST_TIME",
    "MOST_SHARDS",
    "check_addresses",
    "check_awaitable",
    "check_callable",
    "check_choice",
    "check_count",
    "check_flag",
    "check_given",
    "check_hook",
    "check_host",
    "check_instance",
    "check_number",
    "check_port",
    "check_role",
    "check_roles",
    "check_seconds",
    "check_text",
    "check_types",
    "no_factory",
    "refuse",
]

MOST_SHARDS = 65_536
LONGEST_HOST = 255
LONGEST_TEXT = 255
LONGEST_TIME = sys.float_info.max
"""The longest time that has an end, in seconds."""


def refuse(what: str, value: object, allowed: str) -> NoReturn:
    """Say that a value is not allowed.

    Raises:
        SettingsError: always.
    """
    raise SettingsError(f"{what} must be {allowed}, not {value!r:.200}")


def check_count(what: str, value: Any, least: int, most: float | None = None) -> None:
    """See that a value is a whole number within bounds; ``math.inf`` is one only where ``most`` is that."""
    if most == math.inf and isinstance(value, float) and value == math.inf:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= (most or math.inf):
        above = {None: " or more", math.inf: " or more, or math.inf"}.get(most, f" to {most}")
        refuse(what, value, f"a whole number, {least}{above}")


def check_number(what: str, value: Any, allowed: str, least: float, most: float = math.inf) -> None:
    """See that a value is a number within bounds, whole or not; ``allowed`` says which."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        refuse(what, value, allowed)


def check_seconds(what: str, value: Any, *, positive: bool = False, finite: bool = False) -> None:
    """See that a value is a length of time; ``math.inf`` is one, unless it has to be finite."""
    allowed = f"seconds, {'more than 0' if positive else '0 or more'}{' and finite' if finite else ''}"
    check_number(what, value, allowed, 0, LONGEST_TIME if finite else math.inf)
    if positive and not value > 0:
        refuse(what, value, allowed)


def check_choice(what: str, value: object, choices: Collection[object]) -> None:
    """See that a value is one of a few."""
    if value not in choices:
        refuse(what, value, f"one of {', '.join(map(repr, choices))}")


def check_flag(what: str, value: object) -> None:
    """See that a value is a bool."""
    if not isinstance(value, bool):
        refuse(what, value, "True or False")


def check_instance(what: str, value: object, kind: type) -> None:
    """See that a value that may be left out is None or of a class."""
    if value is not None and not isinstance(value, kind):
        refuse(what, value, f"of class {kind.__module__}.{kind.__qualname__}")


def check_given(what: str, value: object, cls: type[Any]) -> None:
    """See that a value is of a class, where nothing stands for it when it is left out."""
    if value is None:
        refuse(what, value, f"of class {cls.__module__}.{cls.__qualname__}")
    check_instance(what, value, cls)


def check_callable(what: str, value: object) -> None:
    """See that a value can be called."""
    if not callable(value):
        refuse(what, value, "a function")


def check_awaitable(what: str, value: object) -> None:
    """See that a value can be awaited."""
    if not inspect.isawaitable(value):
        refuse(what, value, "awaitable")


def check_hook(what: str, value: object) -> None:
    """See that a value can be called, or is left out."""
    if value is not None and not callable(value):
        refuse(what, value, "a function")


def check_text(what: str, value: Any) -> None:
    """See that a value can be the name of something that nodes tell each other of: any short text that can be written."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not _is_utf8(value):
        refuse(what, value, f"a text of 1 to {LONGEST_TEXT} characters")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_host(what: str, value: object) -> None:
    """See that a value can be the name or the address of a host; what it names is up to the system."""
    if not isinstance(value, str) or len(value) > LONGEST_HOST:
        refuse(what, value, f"a text of at most {LONGEST_HOST} characters")
    if value.startswith("["):  # as in a URL, where the port follows; resolvers take it for a name that nobody has
        refuse(what, value, f"an address without brackets, such as {value.strip('[]') or '::1'!r}")


def check_port(what: str, value: object, *, least: int = 0) -> None:
    """See that a value is a TCP port; 0 stands for a free one, where that makes sense."""
    check_count(what, value, least, 65_535)


def check_addresses(what: str, value: Iterable[object]) -> tuple[tuple[str, int], ...]:
    """The addresses in an argument, each a host and a port; each once."""
    allowed = "addresses, each a host and a port such as ('10.0.0.1', 25520)"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        refuse(what, value, allowed)
    found: dict[tuple[str, int], None] = {}
    for each in value:
        pair: list[Any] = [*cast("Iterable[object]", each)] if isinstance(each, tuple | list) else []
        if len(pair) != 2:
            refuse(what, value, allowed)
        host, port = pair
        check_host(f"a host in {what}", host)
        check_port(f"a port in {what}", port, least=1)
        found[host, port] = None
    return tuple(found)


def check_roles(what: str, value: Iterable[object]) -> tuple[str, ...]:
    """The roles in an argument, sorted, each once."""
    roles = [value] if isinstance(value, str | bytes) or not isinstance(value, Iterable) else [*value]
    for role in roles:
        if role is value or not isinstance(role, str) or not 0 < len(role) <= LONGEST_ROLE:
            refuse(what, role, f"an iterable of names of at most {LONGEST_ROLE} characters")
    if len(set(roles)) > ROLES_MOST:
        refuse(what, roles, f"at most {ROLES_MOST} names")
    return tuple(sorted({str(role) for role in roles}))


def check_role(what: str, value: object) -> str:
    """The role in an argument; "" where it is left out."""
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ROLE:
        refuse(what, value, f"None or a name of at most {LONGEST_ROLE} characters")
    return str(value)


def check_types(what: str, value: Iterable[object]) -> tuple[object, ...]:
    """The message types in an argument."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        refuse(what, value, "an iterable of message types")
    return tuple(value)


def no_factory(value: object) -> UsageError:
    """What an ask ends with that was given something else than a function."""
    return UsageError(f"an ask takes a function of the reply ref that makes the message, not {value!r:.200}")
