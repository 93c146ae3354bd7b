"""The command lines of `node`, `members`, `shards`, `services`, `ask`, `publish` and `ping`. Floor F6.

Secrets come from files, or from variables of the environment that are named; a command line can be read by everybody.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from casty_trio.commands.asking import ask, publish
from casty_trio.commands.looking import members, ping, services, shards
from casty_trio.commands.running import node

__all__ = ["add_commands", "address"]


def add_commands(commands: Any) -> None:
    """Add these commands to those there are: to what ``add_subparsers`` of a parser gives."""
    _add_members(commands)
    _add_shards(commands)
    _add_ask(commands)
    _add_ping(commands)
    _add_node(commands)


def address(text: str) -> tuple[str, int]:
    """A host and a port, as ``host:port``; an IPv6 address stands in brackets.

    Example:
        >>> address("10.0.0.1:25520"), address("[::1]:25520")
        (('10.0.0.1', 25520), ('::1', 25520))
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no host:port")
    return host, int(port)


def _add_members(commands: Any) -> None:
    parser = commands.add_parser("members", help="print who the members of a cluster are, and how they are")
    _add_client(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.set_defaults(run=members)


def _add_shards(commands: Any) -> None:
    for name, run, help_text in (
        ("shards", shards, "print where the shards of each sharded type live"),
        ("services", services, "print which actors offer which services"),
    ):
        parser = commands.add_parser(name, help=help_text)
        _add_client(parser)
        parser.add_argument("--json", action="store_true", help="as JSON, for programs")
        parser.set_defaults(run=run)


def _add_ask(commands: Any) -> None:
    parser = commands.add_parser("ask", help="send an entity a message, and print what it replies")
    parser.add_argument("entity", metavar="TYPE/ID", help="the sharded type, and which entity")
    parser.add_argument("message", metavar="MODULE:CLASS", help="the class of the message")
    parser.add_argument("fields", nargs="?", default="{}", metavar="JSON", help="what it holds, as a JSON object")
    _add_client(parser)
    parser.add_argument("--json", action="store_true", help="the reply as JSON, for programs")
    parser.set_defaults(run=ask)
    parser = commands.add_parser("publish", help="tell the subscribers of a topic")
    parser.add_argument("topic", metavar="TOPIC", help="its name")
    parser.add_argument("message", metavar="MODULE:CLASS", help="the class of the message")
    parser.add_argument("fields", nargs="?", default="{}", metavar="JSON", help="what it holds, as a JSON object")
    _add_client(parser)
    parser.set_defaults(run=publish)


def _add_ping(commands: Any) -> None:
    parser = commands.add_parser(
        "ping", help="connect to every node of a cluster, and print how long that took; 1 if one does not answer"
    )
    _add_client(parser)
    parser.set_defaults(run=ping)


def _add_node(commands: Any) -> None:
    parser = commands.add_parser("node", help="run a node until SIGTERM or Ctrl-C")
    parser.add_argument(
        "program", nargs="?", metavar="MODULE:FUNCTION", help="called with the system, once it is open; async or not"
    )
    parser.add_argument("--system", required=True, metavar="NAME", help="the cluster's name")
    parser.add_argument("--host", default="127.0.0.1", help="where it is reached, and listens (default: %(default)s)")
    parser.add_argument("--bind-host", metavar="HOST", help="where it listens, if that is not where it is reached")
    parser.add_argument("--port", type=int, default=25_520, help="likewise; 0 picks a free one (default: %(default)s)")
    parser.add_argument("--node-id", metavar="ID", help="its own name (default: HOST-PORT)")
    _add_addresses(parser, "--seed", "a node of the cluster to look for; may be repeated", required=False)
    parser.add_argument("--role", action="append", default=[], metavar="NAME", help="what it is for; may be repeated")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, as TOML")
    parser.add_argument("--insecure", action="store_true", help="listen off loopback although nobody is authenticated")
    _add_credentials(parser)
    parser.set_defaults(run=node)


def _add_client(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", required=True, metavar="NAME", help="the cluster's name")
    _add_addresses(parser, "--contact", "one of its nodes; may be repeated", required=True)
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="how long to wait for an answer (default: %(default)s)"
    )
    _add_credentials(parser)


def _add_addresses(parser: argparse.ArgumentParser, name: str, help_text: str, *, required: bool) -> None:
    parser.add_argument(
        name, type=address, action="append", default=[], metavar="HOST:PORT", help=help_text, required=required
    )


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, metavar="FILE", help="the file that has the shared secret")
    secret.add_argument("--secret-env", metavar="VARIABLE", help="the variable of the environment that has it")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="this end's certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its key")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the authorities that are believed")
