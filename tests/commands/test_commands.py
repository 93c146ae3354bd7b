"""``python -m casty_trio node``, ``members`` and ``ping``: over real sockets, with nodes in processes of their own."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from casty_trio.__main__ import main
from casty_trio.commands.parser import address

ROOT = Path(__file__).parents[2]
SECRET = "a secret of at least forty-three characters, as is"

Start = Callable[..., "Node"]


class Node:
    """A node in a process, and where it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.fullmatch(r"(\S+) runs at 127\.0\.0\.1:([0-9]+)\n", first)
        assert found, f"{first!r}, {process.poll()}"
        self.node_id, self.place = found[1], f"127.0.0.1:{found[2]}"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts nodes; those that still run are killed in the end."""
    with ExitStack() as stack:

        def start_node(*arguments: str, secret: str = "") -> Node:
            command = [
                sys.executable,
                "-W",
                "error",
                "-m",
                "casty_trio",
                "node",
                "--system",
                "shop",
                "--port",
                "0",
                *arguments,
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHOP_SECRET": secret}
            process = stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            return Node(process)

        yield start_node


def run(*arguments: str) -> int:
    return main(arguments)


@pytest.mark.slow
def test_shards_and_an_ask(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """Where shards live, as a table and as JSON; and what an entity replies to a message made of JSON."""
    node = start("tests.commands.program:spawn_adder", "--node-id", "one")
    client = ("--system", "shop", "--contact", node.place)
    assert run("shards", *client) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["TYPE", "SHARDS", "NODE", "ADDRESS", "HERE"], ["adder", "3", "one", node.place, "3:", "0-2"]]
    assert run("shards", *client, "--json") == 0
    [told] = json.loads(capsys.readouterr().out)["shards"]
    assert (told["type"], told["num_shards"], {home["node_id"] for home in told["homes"]}) == ("adder", 3, {"one"})

    assert run("services", *client) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["SERVICE", "NODE", "ACTOR"], ["adders", "one", f"casty://shop@{node.place}/desk"]]
    assert run("services", *client, "--json") == 0
    [told] = json.loads(capsys.readouterr().out)["services"]
    assert (told["key"], told["node_id"], told["path"]) == ("adders", "one", "/desk")

    question = ("tests.commands.program:Sum", '{"numbers": [1, 2, 3]}')
    assert run("ask", "adder/x", *question, *client) == 0
    assert capsys.readouterr().out == "{'x': 6}\n"
    assert run("ask", "adder/x", *question, *client, "--json") == 0
    assert capsys.readouterr().out == '{"x":6}\n'
    assert run("ask", "adder/x", "tests.commands.program:Note", '{"text": "hello"}', *client) == 0
    assert capsys.readouterr().out == ""
    assert node.line() == "x notes hello\n"
    assert run("publish", "notes", "tests.commands.program:Note", '{"text": "to all"}', *client) == 0
    assert node.line() == "one notes to all\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("adder/x", "tests.commands.program:Nothing"), "there is no such class"),
        (("adder", "tests.commands.program:Sum"), "'adder' is no entity: write TYPE/ID"),
        (("adder/x", "tests.commands.program:not_callable"), "is no class of messages"),
        (("adder/x", "tests.commands.program:Sum", "[1]"), "is no JSON object"),
        (("adder/x", "tests.commands.program:Sum", "{"), "Sum cannot hold"),
        (("adder/x", "tests.commands.program:Sum", '{"numbers": "x"}'), "Sum cannot hold"),
        (("adder/x", "tests.commands.program:Sum", '{"number": 1}'), "Sum has no field 'number'"),
        (("adder/x", "tests.commands.program:Unread"), "the annotations of Unread cannot be read: name 'Decimal' is not"),
    ],
)
def test_a_question_that_is_none(arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before anybody is asked."""
    assert run("ask", *arguments, "--system", "shop", "--contact", "127.0.0.1:9") == 1
    assert text in capsys.readouterr().err


def test_a_question_is_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    """The node refused it, and nobody was told."""
    question = ("tests.commands.program:Sum", '{"numbers": [1]}')
    assert run("publish", "notes", *question, "--system", "shop", "--contact", "127.0.0.1:9") == 1
    assert "Sum wants a reply, and who publishes gets none" in capsys.readouterr().err


@pytest.mark.slow
def test_nodes_are_shown_and_reached(start: Start, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "casty_trio.toml"
    config.write_text("[link]\nkeep_alive = 1.0\n")
    one = start("tests.commands.program:wait_for_two", "--node-id", "one", "--role", "web", "--role", "api")
    two = start("tests.commands.program:spawn", "--node-id", "two", "--seed", one.place, "--config", str(config))
    assert one.line() == "two are up\n"

    assert run("members", "--system", "shop", "--contact", one.place) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["NODE", "ADDRESS", "STATUS", "ROLES"]
    assert {tuple(row[:4]) for row in rows[1:]} == {("one", one.place, "up", "api,web"), ("two", two.place, "up", "-")}
    assert sorted(row[4:] for row in rows[1:]) == [[], ["leader"]]

    assert run("members", "--system", "shop", "--contact", two.place, "--json") == 0
    told = json.loads(capsys.readouterr().out)["members"]
    assert {(row["node_id"], row["status"], row["unreachable"]) for row in told} == {
        ("one", "up", False),
        ("two", "up", False),
    }
    assert sum(row["leader"] for row in told) == 1
    assert {tuple(row["roles"]) for row in told} == {("api", "web"), ()}

    assert run("ping", "--system", "shop", "--contact", one.place) == 0
    pings = capsys.readouterr().out.splitlines()
    assert len(pings) == 2
    assert all(re.fullmatch(r"(one|two)  127\.0\.0\.1:[0-9]+  [0-9]+\.[0-9] ms", line) for line in pings)

    two.process.send_signal(signal.SIGSTOP)
    assert run("ping", "--system", "shop", "--contact", one.place, "--timeout", "1") == 1
    assert re.search(r"^two .*  no answer: no contact point of shop answered within 1 s", capsys.readouterr().out, re.M)
    two.process.send_signal(signal.SIGCONT)

    assert two.end() == 0
    assert one.end(signal.SIGINT) == 0


@pytest.mark.slow
def test_secrets_come_from_files_and_variables(
    start: Start, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    node = start("--secret-env", "SHOP_SECRET", secret=SECRET)
    assert node.node_id == "127.0.0.1-0"
    common = ("--system", "shop", "--contact", node.place)
    assert run("members", *common, "--secret-file", str(file)) == 0
    monkeypatch.setenv("SHOP_SECRET", SECRET[::-1])
    capsys.readouterr()
    assert run("members", *common, "--secret-env", "SHOP_SECRET") == 1
    assert "authentication" in capsys.readouterr().err
    assert run("ping", *common) == 1
    assert node.end() == 0


@pytest.mark.slow
def test_certificates(start: Start, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert run("cert", "ca", "--out", folder) == 0
    assert run("cert", "node", "one", "--cluster", "shop", "--ca", folder, "--out", folder) == 0
    assert run("cert", "client", "ops", "--cluster", "shop", "--ca", folder, "--out", folder) == 0

    def files(name: str) -> list[str]:
        return ["--cert", f"{folder}/{name}.pem", "--key", f"{folder}/{name}.key", "--ca", f"{folder}/ca.pem"]

    node = start("--node-id", "one", *files("one"))
    capsys.readouterr()
    assert run("members", "--system", "shop", "--contact", node.place, *files("ops")) == 0
    assert "one" in capsys.readouterr().out
    assert node.end() == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["node", "nowhere:run"], "nowhere:run: there is no such function"),
        (["node", "tests.commands.program:nothing"], "there is no such function"),
        (["node", "tests.commands.program"], "write module:function"),
        (["node", "tests.commands.program:not_callable"], "is int, and no function to call"),
        (["node", "--config", "nowhere.toml"], "nowhere.toml does not exist"),
        (["node", "--host", "0.0.0.0"], "insecure"),
        (["node", "--secret-env", "NO_SUCH_VARIABLE"], "--secret-env NO_SUCH_VARIABLE: there is no secret"),
        (["node", "--secret-file", "nowhere"], "nowhere"),
        (["node", "--cert", "x.pem"], "--cert, --key and --ca belong together"),
        (["members", "--contact", "127.0.0.1:1", "--timeout", "0.3"], "127.0.0.1:1: "),
        (["ping", "--contact", "127.0.0.1:1", "--timeout", "0.3"], "no contact point of shop answered"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main([arguments[0], "--system", "shop", *arguments[1:]]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["members --system s", "members --contact a:1", "ping --system s --contact a", "node", "node --system s --secret x"],
)
def test_command_lines_that_are_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert "usage: python -m casty_trio" in capsys.readouterr().err


def test_addresses() -> None:
    assert address("example.org:1") == ("example.org", 1)
    assert address("[::1]:65535") == ("::1", 65_535)
    for text in ("", "a", ":1", "a:", "a:0", "a:65536", "a:x", "a:-1", "[]:1"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no host:port"):
            address(text)
