"""Addresses and names: what a path can carry, and that text gives the same address back."""

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, strategies as st

from casty_trio import ActorAddress, InvalidNameError
from casty_trio.model.address import address_map_of, check_name, quote_name

NAME = st.from_regex(r"[A-Za-z0-9_.~:@$+=,;!*'()&%-]{1,40}", fullmatch=True).filter(lambda name: name not in (".", ".."))
SYSTEM = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
HOST = st.sampled_from(["localhost", "10.0.0.1", "node-1.example.org", "::1", "fe80::1"])
PATH = st.lists(NAME, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@given(SYSTEM, PATH, st.none() | st.tuples(HOST, st.integers(0, 65_535)))
def test_an_address_survives_its_text(system: str, path: str, node: tuple[str, int] | None) -> None:
    """W8: `parse` reads back what `uri` writes; uid and incarnation travel beside it."""
    host, port = node if node is not None else (None, None)
    address = ActorAddress(system, path, host, port)
    assert ActorAddress.parse(address.uri) == address
    assert str(address) == address.uri
    numbered = ActorAddress.parse(f"{address.uri}#7.12")
    assert numbered == ActorAddress(system, path, host, port, 7, 12)
    assert numbered != address


def test_what_an_address_looks_like() -> None:
    """The form in the documents."""
    assert ActorAddress("shop", "/cart", "10.0.0.1", 25520).uri == "casty://shop@10.0.0.1:25520/cart"
    assert ActorAddress("shop", "/cart", "::1", 1).uri == "casty://shop@[::1]:1/cart"
    assert ActorAddress("shop", "/team/worker-0").name == "worker-0"
    assert ActorAddress.parse("casty://shop") == ActorAddress("shop", "/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "http://shop/cart",
        "casty://",
        "casty:///cart",
        "casty://shop@host/cart",
        "casty://shop/a#b",
        "casty://shop@:1/a",
    ],
)
def test_what_is_no_address_raises(text: str) -> None:
    """The error says how to write one."""
    with pytest.raises(InvalidNameError, match="casty://system"):
        ActorAddress.parse(text)


@given(NAME)
def test_good_names_pass(name: str) -> None:
    """L9: a name comes back as it was given."""
    assert check_name(name) is name


@given(st.text())
def test_any_text_is_a_good_name_once_quoted(text: str) -> None:
    """L9: an entity id of any kind fits in a path, one to one."""
    quoted = quote_name(text)
    assert unquote(quoted) == text
    if text and text not in (".", "..") and len(quoted) <= 255:
        assert check_name(quoted) == quoted
        assert ActorAddress("shop", f"/carts/{quoted}").name == text


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", " ", "a\x00", "a\n", "é", "a#b", "a?b", "x" * 256, None, 3, b"a"])
def test_bad_names_raise(name: object) -> None:
    """L9: the error is a `ValueError` that shows the name and what is allowed."""
    with pytest.raises(InvalidNameError, match="is no node name") as caught:
        check_name(name, "node")  # type: ignore[arg-type] # what untyped callers give
    assert isinstance(caught.value, ValueError)
    assert repr(name) in str(caught.value)


@given(
    st.lists(
        st.builds(ActorAddress, SYSTEM, PATH, HOST, st.integers(0, 9), st.integers(0, 3), st.integers(0, 3)), max_size=9
    )
)
def test_addresses_sort_and_hash(addresses: list[ActorAddress]) -> None:
    """W8: they are values: one order, one hash."""
    assert sorted(addresses) == sorted(addresses)
    assert len(set(addresses)) == len({(a.uri, a.uid, a.incarnation) for a in addresses})
    for address in addresses:
        with pytest.raises(AttributeError):
            address.path = "/other"  # type: ignore[misc] # frozen


def test_a_node_is_dialled_where_it_says_unless_it_is_mapped() -> None:
    """What nodes and clients do with ``address_map``."""
    assert address_map_of(None)("node-1", 25520) == ("node-1", 25520)
    assert address_map_of(lambda host, port: ("tunnel", port + 1))("node-1", 25520) == ("tunnel", 25521)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "gave None for node-1:25520, which is no host and port"),
        ("ab", "gave 'ab' for node-1:25520"),
        (("a", 0), "no host and port"),
        (("", 1), "no host and port"),
        (("a", 65_536), "no host and port"),
        (("a", "1"), "no host and port"),
    ],
)
def test_an_address_map_that_gives_no_address_makes_a_node_that_cannot_be_reached(found: Any, problem: str) -> None:
    with pytest.raises(ConnectionError, match=problem):
        address_map_of(lambda host, port: found)("node-1", 25520)


def test_an_address_map_that_fails_makes_a_node_that_cannot_be_reached() -> None:
    """As a dict does that lacks a node which came later."""
    table = {("node-2", 25520): ("tunnel", 1)}
    with pytest.raises(ConnectionError, match=r"the address_map failed for node-1:25520: KeyError: \('node-1', 25520\)"):
        address_map_of(lambda host, port: table[host, port])("node-1", 25520)
