"""Settings from TOML: what a file may say, what it may not, and that every key of every section is read (L14)."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import casty_trio
from casty_trio import AccessSettings, ActorSettings, ActorSystem, LinkSettings, Settings, SettingsError
from casty_trio.remote import RemoteNode
from casty_trio.settings import load_settings, merge_settings

ROOT = Path(__file__).parents[1]
PACKAGE = Path(casty_trio.__file__).parent
DEFAULTS = Settings()
SECTIONS = {each.name: getattr(DEFAULTS, each.name) for each in fields(Settings)}
KEYS = [(section, each.name) for section, value in SECTIONS.items() for each in fields(value)]
SETTINGS_MODULES = {PACKAGE / "settings.py", *(PACKAGE / "model").glob("*settings.py"), PACKAGE / "model" / "detection.py"}
"""Where settings are defined; to be named there is not to be read."""


def node(**arguments: Any) -> RemoteNode:
    return RemoteNode("shop", "127.0.0.1", 0, "node-1", **arguments)


# --- Every key --------------------------------------------------------------------------------------------------------


def library() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path not in SETTINGS_MODULES:
            yield path.read_text(encoding="utf-8")


def behaviour_tests() -> Iterator[str]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.name not in ("test_settings.py", "test_arguments.py"):
            yield path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_read_and_tested(section: str, key: str) -> None:
    """L14: the library reads it as an attribute, and a test of a behaviour names it."""
    assert any(re.search(rf"\.{key}\b", text) for text in library()), f"nothing reads {section}.{key}"
    assert any(re.search(rf"\b{key}\b", text) for text in behaviour_tests()), f"no test is about {section}.{key}"


def test_the_example_in_the_documents_is_complete_and_tells_the_defaults() -> None:
    """L14: every section, every key and every default, and nothing else."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    values = tomllib.loads(example)
    assert list(values) == list(SECTIONS)
    assert [(section, key) for section in values for key in values[section]] == KEYS
    actors = ActorSettings(blocked_after=RemoteNode.blocked_after)  # the default depends on the kind of system
    assert load_settings(values) == replace(DEFAULTS, actors=actors)


# --- What a file says -------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_what_differs(tmp_path: Path) -> None:
    path = write(tmp_path, "shop.toml", "[actors]\nbatch = 7\n[link]\nkeep_alive = 1\ndead_after = inf\n")
    settings = Settings.from_toml(path)
    assert settings == Settings(ActorSettings(batch=7), LinkSettings(keep_alive=1, dead_after=math.inf))
    assert Settings.from_toml(str(path)) == settings
    assert Settings.from_toml(path, base=Settings.lan()).link.gone_after == 15


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert Settings.from_toml(write(tmp_path, "casty_trio.toml", "")) == DEFAULTS


def test_a_table_of_the_project(tmp_path: Path) -> None:
    path = write(tmp_path, "pyproject.toml", "[project]\nname = 'x'\n[tool.casty_trio.actors]\ngrace = 2.5\n")
    assert Settings.from_toml(path).actors.grace == 2.5
    assert Settings.from_toml(tmp_path) == Settings.from_toml(path)


def test_the_nearest_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upwards; the project's file counts only with the table, and comes second in its folder."""
    write(tmp_path, "casty_trio.toml", "[actors]\nbatch = 1")
    inner = tmp_path / "inner"
    write(inner, "pyproject.toml", "[project]\nname = 'x'")
    deep = inner / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert Settings.from_toml().actors.batch == 1
    assert Settings.from_toml("..").actors.batch == 1
    write(inner, "pyproject.toml", "[tool.casty_trio.actors]\nbatch = 2")
    assert Settings.from_toml().actors.batch == 2
    write(inner, "casty_trio.toml", "[actors]\nbatch = 3")
    assert Settings.from_toml(deep).actors.batch == 3


BAD: list[tuple[str, str, str]] = [
    ("lnik = 1", "there is no section [lnik]: did you mean 'link'?", "a section that is near"),
    ("[zzz]", "there is no section [zzz]: there are actors, link, access, shutdown", "a section that is not"),
    ("link = 3", "link must be a section of its own, [link], not 3", "no section"),
    ("[link]\nkeep-alife = 1", "[link] has no key 'keep-alife': did you mean 'keep_alive'?", "a key that is near"),
    ("[actors]\nqqq = 1", "[actors] has no key 'qqq': there are batch, grace, ", "a key that is not"),
    ("[link]\nkeep_alive = 'x'", "[link]: LinkSettings.keep_alive must be seconds, more than 0, not 'x'", "a text"),
    ("[actors]\nbatch = true", "[actors]: ActorSettings.batch must be a whole number, 1 or more, not True", "a flag"),
    ("[actors]\nbatch = [1]", "ActorSettings.batch must be a whole number, 1 or more, not (1,)", "a list"),
    ("[link]\nkeep_alive = 60", "[link]: LinkSettings.dead_after must be seconds, keep_alive or more, not 13.0", "a pair"),
    ("[link", " is no TOML: ", "no TOML"),
]


@pytest.mark.parametrize(("text", "told"), [row[:2] for row in BAD], ids=[row[2] for row in BAD])
def test_what_cannot_be_is_refused_by_file_and_key(text: str, told: str, tmp_path: Path) -> None:
    """L14: with the name that was probably meant."""
    path = write(tmp_path, "casty_trio.toml", text)
    with pytest.raises(SettingsError) as caught:
        Settings.from_toml(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    """L14: nothing is quietly taken for the defaults."""
    with pytest.raises(SettingsError, match="does not exist"):
        Settings.from_toml(tmp_path / "casty_trio.toml")
    with pytest.raises(SettingsError, match=r"there is no casty_trio\.toml, and no pyproject\.toml"):
        Settings.from_toml(tmp_path)
    project = write(tmp_path, "pyproject.toml", "tool = 1")
    with pytest.raises(SettingsError, match=r"has no table \[tool.casty_trio\]"):
        Settings.from_toml(project)
    write(tmp_path, "pyproject.toml", "[tool]\ncasty_trio = 1")
    with pytest.raises(SettingsError, match="must be a table, not 1"):
        Settings.from_toml(project)
    write(tmp_path, "casty_trio.toml", "").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is no TOML"):
        Settings.from_toml(tmp_path)
    wrong: Any = 5
    with pytest.raises(SettingsError, match="path must be a path, not 5"):
        Settings.from_toml(wrong)
    with pytest.raises(SettingsError, match="base must be of class"):
        load_settings({}, base=wrong)


@given(st.sampled_from(KEYS), st.data())
def test_a_mistyped_key_is_recognised(key: tuple[str, str], data: st.DataObject) -> None:
    """L14: one letter left out, and the error names the key."""
    section, name = key
    index = data.draw(st.integers(0, len(name) - 1))
    mistyped = name[:index] + name[index + 1 :]
    with pytest.raises(SettingsError, match=rf"settings: \[{section}\] has no key '{mistyped}': did you mean '{name}'"):
        load_settings({section: {mistyped: 1}})


# --- Who is given them ------------------------------------------------------------------------------------------------


def test_presets_are_quicker_than_the_defaults() -> None:
    """L14: on one machine more than in one network."""
    for name in ("keep_alive", "dead_after", "gone_after", "handshake_timeout"):
        times = [getattr(each.link, name) for each in (Settings.local(), Settings.lan(), DEFAULTS)]
        assert times == sorted(set(times)), name
    assert Settings.local().actors.grace < DEFAULTS.actors.grace


def test_sections_of_their_own_win() -> None:
    """L14: what the constructor is given by name, and the rest as in ``settings=``."""
    lan, link, access = Settings.lan(), LinkSettings(keep_alive=0.5), AccessSettings(max_connections=3)
    made = node(settings=lan, link=link)
    assert (made.link_settings, made.settings, made.door.settings) == (link, lan.actors, lan.access)
    made = node(settings=lan, access=access)
    assert (made.link_settings, made.door.settings) == (lan.link, access)
    assert node().all_settings == DEFAULTS


def test_a_local_system_takes_all_or_its_own() -> None:
    """L14: either kind is read."""
    actors = ActorSettings(batch=3)
    assert ActorSystem(settings=actors).settings == actors
    assert ActorSystem(settings=Settings(actors)).settings == actors
    assert ActorSystem(settings=actors).all_settings == Settings(actors)
    assert ActorSystem().all_settings == DEFAULTS


def test_wrong_sections_are_refused() -> None:
    """L14: by name."""
    wrong: Any = LinkSettings()
    with pytest.raises(SettingsError, match=r"Settings\.actors must be of class .*ActorSettings"):
        Settings(actors=wrong)
    with pytest.raises(SettingsError, match=r"access must be of class .*AccessSettings"):
        merge_settings(None, access=wrong)
    with pytest.raises(SettingsError, match="settings must be Settings or ActorSettings"):
        node(settings=wrong)
