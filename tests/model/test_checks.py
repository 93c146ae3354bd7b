"""What arguments and settings may be: all are refused alike, by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from casty_trio import ActorRef, Behaviors, SettingsError
from casty_trio.model.address import address_map_of
from casty_trio.model.checks import (
    check_addresses,
    check_given,
    check_hook,
    check_host,
    check_port,
    check_roles,
    check_text,
    check_types,
)
from casty_trio.model.kinds import behavior_message_types


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (lambda: check_given("ref", None, ActorRef), "ref must be of class casty_trio.model.ref.ActorRef, not None"),
        (lambda: check_given("ref", 1, ActorRef), "ref must be of class casty_trio.model.ref.ActorRef, not 1"),
        (lambda: check_hook("decider", 3), "decider must be a function, not 3"),
        (lambda: check_text("topic", ""), "topic must be a text of 1 to 255 characters"),
        (lambda: check_text("topic", "x" * 256), "topic must be a text of 1 to 255 characters"),
        (lambda: check_text("topic", "\ud800"), "topic must be a text of 1 to 255 characters"),
        (lambda: check_text("topic", b"x"), "topic must be a text of 1 to 255 characters"),
        (lambda: check_host("host", 1), "host must be a text of at most 255 characters"),
        (lambda: check_host("host", "x" * 256), "host must be a text of at most 255 characters"),
        (lambda: check_port("port", 0, least=1), "port must be"),
        (lambda: check_addresses("seeds", "n1:1"), "seeds must be addresses"),
        (lambda: check_addresses("seeds", [("n1", 1, 2)]), "seeds must be addresses"),
        (lambda: check_addresses("seeds", ["n1:1"]), "seeds must be addresses"),
        (lambda: check_addresses("seeds", [("n1", 65_536)]), "a port in seeds must be"),
        (lambda: check_addresses("seeds", [(1, 1)]), "a host in seeds must be"),
        (lambda: check_roles("roles", "web"), "roles must be an iterable of names"),
        (lambda: check_roles("roles", [1]), "roles must be an iterable of names"),
        (lambda: check_roles("roles", [""]), "roles must be an iterable of names"),
        (lambda: check_roles("roles", map(str, range(1_000))), "roles must be at most"),
        (lambda: check_types("messages", "int"), "messages must be an iterable of message types"),
        (lambda: address_map_of(3), "address_map must be a function of host and port"),  # type: ignore[arg-type]
        (lambda: Behaviors.broadcasted(Behaviors.broadcasted(Behaviors.ignore())), "spread over the cluster already"),
    ],
)
def test_what_cannot_be_is_refused(check: Callable[[], object], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check()
    assert why in str(caught.value)


def test_what_can_be_is_taken() -> None:
    assert check_addresses("seeds", [("n1", 1), ["n2", 2], ("n1", 1)]) == (("n1", 1), ("n2", 2))
    assert check_roles("roles", ["b", "a", "b"]) == ("a", "b")
    assert check_types("messages", [int]) == (int,)
    check_hook("decider", None)
    check_hook("decider", print)
    check_text("topic", "\u00e9" * 255)


def test_a_behavior_without_a_handler_of_its_own_tells_no_messages() -> None:
    assert behavior_message_types(Behaviors.with_lifecycle(Behaviors.stopped())) == ()
