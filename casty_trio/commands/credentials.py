"""By what a command proves itself, from its command line. Floor F6."""

from __future__ import annotations

import argparse

from casty_trio.env import Env
from casty_trio.errors import SettingsError
from casty_trio.tls import Config

__all__ = ["secret_of", "tls_of"]


def secret_of(options: argparse.Namespace, env: Env) -> str | None:
    """The shared secret that a file or a variable has.

    Raises:
        SettingsError: there is no such variable, or nothing is in it or the file.
        OSError: the file cannot be read.
    """
    if options.secret_file is not None:
        text, where = options.secret_file.read_text(encoding="utf-8"), f"--secret-file {options.secret_file}"
    elif options.secret_env is not None:
        text, where = env.variable(options.secret_env) or "", f"--secret-env {options.secret_env}"
    else:
        return None
    secret: str = text.strip()
    if not secret:
        raise SettingsError(f"{where}: there is no secret")
    return secret


def tls_of(options: argparse.Namespace) -> Config | None:
    """The certificates that are named, all three or none.

    Raises:
        SettingsError: some are, and some are not; or they cannot be used.
    """
    given = (options.cert, options.ca, options.key)
    if given == (None, None, None):
        return None
    if None in given:
        raise SettingsError("--cert, --key and --ca belong together: give all three, or none")
    return Config.from_paths(*given)
