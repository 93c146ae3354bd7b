"""``python -m casty_trio``: secrets and certificates that work, files for nobody else, and nothing overwritten."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from casty_trio.__main__ import main
from casty_trio.env import RealEnv
from casty_trio.protocol.secret import SharedSecret
from casty_trio.tls import Config

ROOT = Path(__file__).parents[2]


class On(RealEnv):
    """The real world, on another day."""

    def __init__(self, days: float) -> None:
        super().__init__()
        self._days = days

    def wall_time(self) -> float:
        return super().wall_time() + self._days * 86_400


def run(*arguments: object, env: RealEnv | None = None) -> int:
    return main([str(argument) for argument in arguments], env)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object, env: RealEnv | None = None) -> str:
    """What a command that fails says."""
    assert run(*arguments, env=env) == 1
    return capsys.readouterr().err


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with an authority, a node's certificate and a client's."""
    assert run("cert", "ca", "--out", tmp_path) == 0
    assert run("cert", "node", "node-1", "--cluster", "shop", "--ca", tmp_path, "--out", tmp_path) == 0
    assert run("cert", "client", "web", "--cluster", "shop", "--ca", tmp_path, "--out", tmp_path) == 0
    return tmp_path


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_secret_is_one_and_another_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("secret") == run("secret") == 0
    one, other = capsys.readouterr().out.split()
    assert one != other
    assert len(one) == 43
    SharedSecret(one)


def test_what_is_made_can_be_used(made: Path) -> None:
    node = Config.from_paths(made / "node-1.pem", made / "ca.pem", made / "node-1.key")
    client = Config.from_paths(made / "web.pem", made / "ca.pem", made / "web.key")
    node.check_own("shop", "node", "node-1")
    client.check_own("shop", "client")
    assert "casty://shop/node/node-1" in repr(node)
    assert "casty://shop/client/web" in repr(client)


def test_what_stands_in_them(made: Path) -> None:
    now = datetime.now(UTC)
    ca, node, client = (read(made / f"{name}.pem") for name in ("ca", "node-1", "web"))
    uses = [set(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) for each in (node, client)]
    server_too = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert uses == [server_too, {ExtendedKeyUsageOID.CLIENT_AUTH}]
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    for each, days in ((ca, 3_650), (node, 90), (client, 90)):
        assert abs(each.not_valid_after_utc - now - timedelta(days=days)) < timedelta(minutes=1)
        assert each.not_valid_before_utc < now
    assert not node.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nobody_else_may_read_them(made: Path) -> None:
    files = sorted(path.name for path in made.iterdir())
    assert files == ["ca.key", "ca.pem", "node-1.key", "node-1.pem", "web.key", "web.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o600}


def test_a_folder_is_made_for_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    assert run("cert", "ca", "--out", folder) == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_without_a_name_it_is_for_every_node(made: Path) -> None:
    assert run("cert", "node", "--cluster", "shop", "--ca", made, "--out", made) == 0
    Config.from_paths(made / "node.pem", made / "ca.pem", made / "node.key").check_own("shop", "node", "whoever")


def test_nothing_is_overwritten(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in made.iterdir()}
    for command in (
        ["ca"],
        ["node", "node-1", "--cluster", "x", "--ca", made],
        ["client", "ca", "--cluster", "x", "--ca", made],
    ):
        assert "not overwritten" in complaint(capsys, "cert", *command, "--out", made)
    assert {path: path.read_bytes() for path in made.iterdir()} == before


def test_no_half_of_a_pair_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ca.pem").write_text("somebody's")
    assert "not overwritten" in complaint(capsys, "cert", "ca", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


def test_links_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "ca.key").symlink_to(target)
    assert "not overwritten" in complaint(capsys, "cert", "ca", "--out", tmp_path)
    assert not target.exists()


@pytest.mark.parametrize("name", [".", "..", "a/b", "../x", "a b", "x" * 65, "ü", "a\n", "-" * 65])
def test_names_that_cannot_be(made: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    before = sorted(made.iterdir())
    common = ["--ca", made, "--out", made]
    assert "no name for a certificate" in complaint(capsys, "cert", "node", "--cluster", "shop", *common, "--", name)
    assert "no name for a certificate" in complaint(capsys, "cert", "client", f"--cluster={name}", *common)
    assert "no name for a certificate" in complaint(capsys, "cert", "ca", f"--name={name}", "--out", made)
    assert sorted(made.iterdir()) == before


def test_authorities_that_cannot_sign(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["cert", "node", "new", "--cluster", "shop", "--out", made]
    assert "ca.pem" in complaint(capsys, *command, "--ca", tmp_path / "nowhere")
    assert "has expired" in complaint(capsys, *command, "--ca", made, env=On(4_000))
    assert run("cert", "ca", "--out", tmp_path / "other") == 0
    os.replace(tmp_path / "other" / "ca.key", made / "ca.key")
    assert "do not belong together" in complaint(capsys, *command, "--ca", made)
    (made / "ca.key").write_text("nothing")
    assert "cannot be read" in complaint(capsys, *command, "--ca", made)
    assert not (made / "new.pem").exists()


def test_none_outlives_its_authority(made: Path) -> None:
    late = On(3_640)
    assert run("cert", "node", "late", "--cluster", "shop", "--ca", made, "--out", made, env=late) == 0
    assert read(made / "late.pem").not_valid_after_utc == read(made / "ca.pem").not_valid_after_utc


def test_days_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a day at least" in complaint(capsys, "cert", "ca", "--days", 0, "--out", tmp_path)


@pytest.mark.parametrize("command", ["", "cert", "cert node x", "secret of mine", "cert ca --force"])
def test_command_lines_that_are_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert "usage: python -m casty_trio" in capsys.readouterr().err


def test_without_cryptography_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "casty_trio.tls.making", raising=False)
    monkeypatch.delattr("casty_trio.tls.making", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert "pip install 'casty-trio[certs]'" in complaint(capsys, "cert", "ca", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_as_a_program_and_without_cryptography_until_it_is_needed() -> None:
    code = "import sys, casty_trio, casty_trio.tls; sys.exit('cryptography' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    command = [sys.executable, "-W", "error", "-m", "casty_trio", "secret"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    SharedSecret(done.stdout)
