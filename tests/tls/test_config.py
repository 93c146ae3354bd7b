"""`tls.Config`: what is refused when it is made, and certificates that change while it is in use."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import anyio
import pytest

from casty_trio.env import RealEnv
from casty_trio.errors import HandshakeError, SettingsError
from casty_trio.protocol.certified import certificate_uri, vouches
from casty_trio.tls import Config
from casty_trio.tls.making import Made
from tests.link.streams import pipes
from tests.tls.authority import LONG_AGO, Authority

ENV = RealEnv()
NODE, CLIENT = "casty://shop/node", "casty://shop/client"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def write(folder: Path, made: Made) -> tuple[Path, Path]:
    certfile, keyfile = folder / "own.pem", folder / "own.key"
    certfile.write_bytes(made.certificate)
    keyfile.write_bytes(made.key)
    return certfile, keyfile


# --- Making one ------------------------------------------------------------


def test_it_tells_whom_it_is_for(ca: Authority, tmp_path: Path) -> None:
    certfile, keyfile = write(tmp_path, ca.issue(NODE, "https://example.org", CLIENT))
    config = Config.from_paths(str(certfile), ca.cafile, keyfile)
    assert repr(config) == f"<tls.Config of {CLIENT}, {NODE}, from {certfile}>"
    config.check_own("shop", "node", "node-1")
    config.check_own("shop", "client")
    both_in_one = Config.from_paths(ca.write("both", ca.issue(CLIENT, kind="client")), ca.cafile)
    both_in_one.check_own("shop", "client")
    with pytest.raises(SettingsError, match="use a certificate for casty://shop/node/node-1"):
        both_in_one.check_own("shop", "node", "node-1")
    with pytest.raises(SettingsError, match="use a certificate for casty://bank/client"):
        both_in_one.check_own("bank", "client")


def test_files_that_cannot_be_used(ca: Authority, tmp_path: Path) -> None:
    certfile, keyfile = write(tmp_path, ca.issue(NODE))
    empty, other = tmp_path / "empty", tmp_path / "other.key"
    empty.write_bytes(b"")
    other.write_bytes(ca.issue(NODE).key)
    missing = tmp_path / "missing"
    for files, words in (
        ((missing, ca.cafile, keyfile), "no certificate can be read from .*missing.*no such file"),
        ((certfile, missing, keyfile), "no authority can be read from .*missing.*no such file"),
        ((certfile, ca.cafile, missing), "no such file"),
        ((certfile, empty, keyfile), "no authority can be read from .*empty"),
        ((empty, ca.cafile, keyfile), "no certificate can be read from .*empty"),
        ((certfile, ca.cafile, None), "no certificate can be read"),
        ((certfile, ca.cafile, other), "key values mismatch"),
    ):
        with pytest.raises(SettingsError, match=words):
            Config.from_paths(*files)


def test_a_key_with_a_password_does_not_ask_for_it(ca: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    made = ca.issue(NODE)
    key = serialization.load_pem_private_key(made.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    with pytest.raises(SettingsError, match="no certificate can be read"):
        Config.from_paths(*files_of(write(tmp_path, Made(made.certificate, locked)), ca))


def files_of(own: tuple[Path, Path], ca: Authority) -> tuple[Path, Path, Path]:
    return own[0], ca.cafile, own[1]


def test_certificates_that_every_peer_would_refuse(ca: Authority, tmp_path: Path) -> None:
    for made, words in (
        (ca.issue(NODE, days=10, at=LONG_AGO), "certificate has expired"),
        (ca.issue("https://example.org"), "does not say whom it is for"),
    ):
        with pytest.raises(SettingsError, match=words):
            Config.from_paths(*files_of(write(tmp_path, made), ca))


@pytest.mark.parametrize(
    ("uri", "system", "role", "node_id", "good"),
    [
        (NODE, "shop", "node", "n", True),
        (f"{NODE}/n", "shop", "node", "n", True),
        (f"{NODE}/n", "shop", "node", "m", False),
        (f"{NODE}/n", "shop", "node", "", False),
        (f"{NODE}/", "shop", "node", "n", False),
        (NODE, "shop", "client", "n", False),
        (CLIENT, "shop", "client", "anything", True),
        (f"{CLIENT}/web", "shop", "client", "client-17", True),
        (f"{CLIENT}s", "shop", "client", "client-17", False),
        (CLIENT, "shop", "node", "client", False),
        (NODE, "shop2", "node", "n", False),
        (NODE, "sho", "node", "n", False),
        ("casty://shop", "shop", "", "", False),
        ("https://shop/node", "shop", "node", "n", False),
        (certificate_uri("a:b", "node", "@&%"), "a:b", "node", "@&%", True),
        ("casty://a:b/node", "a:b", "node", "n", False),
    ],
)
def test_who_is_vouched_for(uri: str, system: str, role: str, node_id: str, good: bool) -> None:
    assert vouches([uri], system, role, node_id) is (good or role == "")


# --- Files that change ------------------------------------------------------------


async def uris_seen(dialer: Config, acceptor: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What both ends read in the other's certificate on a new connection."""
    seen: dict[bool, tuple[str, ...]] = {}

    async def secure(config: Config, pipe: anyio.abc.ByteStream, dials: bool) -> None:
        _, seen[dials] = await config.secure(pipe, dialer=dials, env=ENV)

    here, there = pipes()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(secure, dialer, here, True)
        tasks.start_soon(secure, acceptor, there, False)
    return seen[True], seen[False]


def replace(path: Path, made: Made) -> None:
    """As a tool does that renews certificates: in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(made.certificate + made.key)
    os.replace(fresh, path)


async def test_new_connections_use_what_the_files_hold_now(
    ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "casty_trio.tls")
    path = ca.write("node", ca.issue(NODE))
    config, peer = Config.from_paths(path, ca.cafile), ca.config()
    assert await uris_seen(peer, config) == ((NODE,), (NODE,))
    replace(path, ca.issue(NODE, f"{NODE}/n"))
    for _ in range(3):
        assert await uris_seen(peer, config) == ((NODE, f"{NODE}/n"), (NODE,))
        assert await uris_seen(config, peer) == ((NODE,), (NODE, f"{NODE}/n"))
    assert [record.message for record in caplog.records] == [f"{path} has changed, and is in use"]


async def test_new_authorities_as_well(ca: Authority, tmp_path: Path) -> None:
    later = Authority(tmp_path, "later")
    config = Config.from_paths(ca.write("node", ca.issue(NODE)), ca.cafile)
    late = Config.from_paths(later.write("late", later.issue(NODE)), ca.cafile)
    with pytest.raises(ExceptionGroup) as caught:
        await uris_seen(late, config)
    assert caught.group_contains(HandshakeError, match="refused")
    ca.cafile.write_bytes(ca.made.certificate + later.made.certificate)
    assert await uris_seen(late, config) == ((NODE,), (NODE,))


async def test_what_cannot_be_used_is_told_once_and_the_earlier_stays(
    ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = ca.write("node", ca.issue(NODE))
    config, peer = Config.from_paths(path, ca.cafile), ca.config()
    made = ca.issue(NODE, f"{NODE}/n")
    for number, (bad, words) in enumerate(
        [
            (Made(b"", b""), "no certificate can be read"),
            (Made(made.certificate, b""), "no certificate can be read"),
            (Made(made.certificate, ca.issue(NODE).key), "key values mismatch"),
            (ca.issue(NODE, days=10, at=LONG_AGO), "certificate has expired"),
            (ca.issue("https://example.org"), "does not say whom it is for"),
            (ca.issue(CLIENT, "casty://bank/node"), "and no longer for casty://shop/node"),
        ]
    ):
        replace(path, bad)
        for _ in range(3):
            assert await uris_seen(peer, config) == ((NODE,), (NODE,))
        assert len(caplog.records) == number + 1
        assert words in caplog.messages[-1]
        assert "the one before stays in use" in caplog.messages[-1]
    path.unlink()
    assert await uris_seen(peer, config) == ((NODE,), (NODE,))
    assert "no such file" in caplog.messages[-1]
    path.write_bytes(made.certificate + made.key)
    assert await uris_seen(peer, config) == ((NODE, f"{NODE}/n"), (NODE,))


async def test_many_connections_at_once_read_once(ca: Authority, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "casty_trio.tls")
    path = ca.write("node", ca.issue(NODE))
    config, peer = Config.from_paths(path, ca.cafile), ca.config()
    replace(path, ca.issue(NODE))

    async def connect() -> None:
        await uris_seen(peer, config)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(connect)
    assert len(caplog.records) == 1
