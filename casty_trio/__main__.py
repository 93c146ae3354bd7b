"""``python -m casty_trio``: makes secrets and certificates, and looks after clusters. Floor F7.

What it does with clusters is in `commands`. Files are made readable for their owner alone, and none is ever overwritten; a
key or secret is never an argument.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

from casty_trio.commands import add_commands
from casty_trio.env import Env, RealEnv
from casty_trio.errors import CastyError, SettingsError
from casty_trio.protocol.certified import certificate_uri
from casty_trio.protocol.secret import LEAST_BYTES

__all__ = ["main"]

NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
AUTHORITY_DAYS: Final = 3_650
DAYS: Final = 90


def main(arguments: Sequence[str] | None = None, env: Env | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; that of this process when left out.
        env: chance, the date and sockets; the real world when left out.

    Returns:
        What the process ends with: 0, or 1 after saying what went wrong. A command line that is none ends it with 2.

    Example:
        >>> main(["secret"])  # doctest: +SKIP
        Zm9ydHktdHdvIGFuZCBub3QgYSBieXRlIGxlc3MgMTIzNDU
        0
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options, env if env is not None else RealEnv()) or 0
    except (CastyError, OSError) as error:
        sys.stderr.write("".join(f"{line}\n" for line in (error, *getattr(error, "__notes__", ()))))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m casty_trio",
        description="Run nodes, look at clusters, and make what nodes and clients prove themselves by.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_commands(commands)
    secret = commands.add_parser("secret", help="print a fresh shared secret")
    secret.set_defaults(run=_secret)
    cert = commands.add_parser("cert", help="make an authority, or a certificate from one")
    kinds = cert.add_subparsers(required=True, metavar="KIND")
    ca = kinds.add_parser("ca", help="an authority: ca.pem for everybody, ca.key to be kept away")
    ca.add_argument("--name", default="casty_trio", help="what people read in it (default: %(default)s)")
    _add_common(ca, AUTHORITY_DAYS)
    ca.set_defaults(run=_authority)
    for role, help_text in (
        ("node", "a certificate for the node of this id; without NAME, for every node of the cluster"),
        ("client", "a certificate for clients; NAME is for people"),
    ):
        kind = kinds.add_parser(role, help=help_text)
        kind.add_argument("name", nargs="?", default="", metavar="NAME")
        kind.add_argument("--cluster", required=True, help="the name of the cluster: the system's name")
        kind.add_argument(
            "--ca", type=Path, default=Path(), metavar="FOLDER", help="where ca.pem and ca.key are (default: here)"
        )
        _add_common(kind, DAYS)
        kind.set_defaults(run=_certificate, role=role)
    return parser


def _add_common(parser: argparse.ArgumentParser, days: int) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="where the files are written (default: here)"
    )
    parser.add_argument("--days", type=int, default=days, help="how long it is good (default: %(default)s)")


def _secret(options: argparse.Namespace, env: Env) -> None:
    sys.stdout.write(urlsafe_b64encode(env.token(LEAST_BYTES)).decode().rstrip("=") + "\n")


def _authority(options: argparse.Namespace, env: Env) -> None:
    _check(options, options.name)
    made = _making().make_authority(options.name, at=_today(env), days=options.days)
    _write(options.out, "ca", made.certificate, made.key)


def _certificate(options: argparse.Namespace, env: Env) -> None:
    _check(options, options.cluster, *([options.name] if options.name else []))
    making = _making()
    authority = making.Made((options.ca / "ca.pem").read_bytes(), (options.ca / "ca.key").read_bytes())
    uri = certificate_uri(options.cluster, options.role, options.name)
    name = options.name or f"any {options.role} of {options.cluster}"
    made = making.make_certificate(authority, options.role, [uri], name=name, at=_today(env), days=options.days)
    _write(options.out, options.name or options.role, made.certificate, made.key)
    sys.stdout.write(f"  for {uri}\n")


def _check(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if not NAME.fullmatch(name) or name in (".", ".."):
            raise SettingsError(
                f"{name!r} is no name for a certificate: use 1 to 64 letters, digits, dots, dashes or underscores"
            )
    if options.days < 1:
        raise SettingsError(f"--days {options.days}: a certificate is good for a day at least")


def _making() -> ModuleType:
    try:
        from casty_trio.tls import making
    except ImportError as error:
        raise SettingsError(f"certificates are made with cryptography: pip install 'casty-trio[certs]' ({error})") from error
    return making


def _today(env: Env) -> datetime:
    return datetime.fromtimestamp(env.wall_time(), UTC)


def _write(folder: Path, name: str, certificate: bytes, key: bytes) -> None:
    """Write both files or none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyfile, certfile = folder / f"{name}.key", folder / f"{name}.pem"
    _create(keyfile, key)
    try:
        _create(certfile, certificate)
    except (CastyError, OSError):
        with suppress(OSError):
            keyfile.unlink()  # ours, made a moment ago
        raise
    sys.stdout.write(f"{certfile}\n{keyfile}\n")


def _create(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, from its first moment on.

    Raises:
        SettingsError: it is there already, be it a link.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except FileExistsError:
        raise SettingsError(
            f"{path} is there already, and is not overwritten: move it away, or give another --out"
        ) from None
    with os.fdopen(number, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    sys.exit(main())
