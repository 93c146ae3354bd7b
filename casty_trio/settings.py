"""`Settings`: every section in one value, from code or from a TOML file. Floor F1, beside the protocol.

A section is a field below whose type is a frozen dataclass that checks itself; a new one is one more line. `load_settings`
is pure; only `Settings.from_toml` reads files, when a program calls it. Nothing is converted and nothing is passed over:
whatever a file says that cannot be is a `SettingsError` that names the file, the section and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar, cast

from casty_trio.errors import SettingsError
from casty_trio.model.checks import check_given, check_instance, refuse
from casty_trio.model.client_settings import ClientSettings
from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.detection import DetectorSettings
from casty_trio.model.entity_settings import EntitySettings
from casty_trio.model.registry_settings import ReceptionistSettings, RegistrySettings
from casty_trio.model.settings import AccessSettings, ActorSettings, LinkSettings, ShutdownSettings
from casty_trio.model.sharding_settings import ShardingSettings
from casty_trio.model.singleton_settings import SingletonSettings

__all__ = ["FILE", "Settings", "load_settings", "merge_settings"]

T = TypeVar("T")

FILE = "casty_trio.toml"
PROJECT = "pyproject.toml"
TABLE = "casty_trio"
"""A project's file has the settings in its table ``[tool.casty_trio]``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a system; each section has defaults that suit nodes in one data centre or cloud region.

    Attributes:
        actors: its actors: how long things may take, and how much may wait.
        link: one connection: how large, how much, how long.
        access: a node's door: how many may come in, and what one client may ask of it.
        shutdown: the end of the system: for how long the hooks of each phase may run.
        cluster: membership: how often it is talked about, and how patient a node is.
        detector: how nodes watch each other.
        entities: the actors of entities: how they end.
        singletons: the actors that a cluster has one of: how they move.
        sharding: how shards move, and what waits meanwhile.
        receptionist: how nodes agree on who offers which service, and which of them clients connect to.
        pubsub: how nodes agree on who has subscribed to which topic.
        client: a client: how it finds nodes, how long it holds what it cannot send, and when it gives up.

    Example:
        >>> Settings(link=LinkSettings(keep_alive=1.0)).link.keep_alive
        1.0
        >>> # async with ActorSystem("demo", settings=Settings.from_toml()) as system: ...
    """

    actors: ActorSettings = field(default_factory=ActorSettings)
    link: LinkSettings = field(default_factory=LinkSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    shutdown: ShutdownSettings = field(default_factory=ShutdownSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    entities: EntitySettings = field(default_factory=EntitySettings)
    singletons: SingletonSettings = field(default_factory=SingletonSettings)
    sharding: ShardingSettings = field(default_factory=ShardingSettings)
    receptionist: ReceptionistSettings = field(default_factory=ReceptionistSettings)
    pubsub: RegistrySettings = field(default_factory=RegistrySettings)
    client: ClientSettings = field(default_factory=ClientSettings)

    def __post_init__(self) -> None:
        for name, kind in _sections().items():
            check_given(f"Settings.{name}", getattr(self, name), kind)

    @classmethod
    def lan(cls) -> Settings:
        """For nodes that share a switch: a silent peer is noticed in 5 s instead of 13, a dead member in 3 instead of 6."""
        return cls(
            link=LinkSettings(handshake_timeout=3.0, keep_alive=1.0, dead_after=5.0, gone_after=15.0),
            detector=DetectorSettings(heartbeat=0.5, pause=1.5, probe_timeout=0.25),
        )

    @classmethod
    def local(cls) -> Settings:
        """For nodes on one machine, and for tests: a silent peer is noticed in a second, and nothing waits long."""
        return cls(
            actors=ActorSettings(grace=1.0, hook_timeout=0.5),
            link=LinkSettings(handshake_timeout=1.0, close_timeout=0.5, keep_alive=0.25, dead_after=1.0, gone_after=3.0),
            shutdown=ShutdownSettings(before_leave=1.0, drain=1.0, leave=2.0, actors=1.0, connections=1.0),
            cluster=ClusterSettings(
                gossip_interval=0.5, gossip_interval_changing=0.05, stable_after=1.0, contact_interval=0.5
            ),
            detector=DetectorSettings(heartbeat=0.2, pause=0.6, probe_timeout=0.1),
            entities=EntitySettings(stop_timeout=2.0),
            singletons=SingletonSettings(retry=0.25, stop_timeout=2.0),
            sharding=ShardingSettings(
                retry=0.1, hand_off_timeout=5.0, drain_timeout=1.0, leave_timeout=3.0, rebalance_interval=0.2
            ),
        )

    @classmethod
    def from_toml(cls, path: str | PathLike[str] | None = None, *, base: Settings | None = None) -> Settings:
        """Read the settings from ``casty_trio.toml``, or from the table ``[tool.casty_trio]`` of ``pyproject.toml``.

        The file is read at once and only here: call it before the event loop starts.

        Parameters:
            path: the file; or a folder, which is looked through upwards to the root, the nearest file first, and in one
                folder ``casty_trio.toml`` before the other; the current folder when left out.
            base: what holds for what the file does not say, `Settings.lan` say; the defaults when left out.

        Raises:
            SettingsError: there is no such file, it is no TOML, or it says something that cannot be; the text names the
                file, the section, and the key that was probably meant.
            OSError: it cannot be read.

        Example:
            >>> # settings = Settings.from_toml("/etc/shop/casty_trio.toml", base=Settings.lan())
        """
        if path is not None and not isinstance(path, str | PathLike):
            refuse("path", path, "a path")
        file, values = _find(Path.cwd() if path is None else Path(fspath(path)))
        return load_settings(values, source=str(file), base=base)


def load_settings(values: Mapping[str, object], *, source: str = "settings", base: Settings | None = None) -> Settings:
    """The settings in a mapping of sections, as TOML gives them; the lists in it become tuples.

    Parameters:
        values: for each section that differs from ``base``, a mapping of the keys that do.
        source: what errors call it, a file's name say.
        base: what holds for the rest; the defaults when left out.

    Raises:
        SettingsError: an unknown section or key, or a value that cannot be.

    Example:
        >>> load_settings({"link": {"keep_alive": 1}}).link.keep_alive
        1
    """
    check_instance("base", base, Settings)
    settings = base if base is not None else Settings()
    loaded: dict[str, Any] = {}
    for name, section in values.items():
        if name not in _sections():
            raise SettingsError(f"{source}: there is no section [{name}]: {_meant(name, _sections())}")
        if not isinstance(section, Mapping):
            raise SettingsError(f"{source}: {name} must be a section of its own, [{name}], not {section!r:.200}")
        loaded[name] = _load_section(source, name, cast("Mapping[str, object]", section), getattr(settings, name))
    return replace(settings, **loaded)


def merge_settings(settings: Settings | ActorSettings | None, **explicit: object) -> Settings:
    """What a system goes by: its ``settings=``, with the sections that its constructor was given by themselves instead.

    Parameters:
        settings: all sections, or those of actors alone; the defaults when None.
        explicit: sections by their names; None where none was given.

    Raises:
        SettingsError: something is of the wrong class.

    Example:
        >>> merge_settings(Settings.lan(), link=LinkSettings(), access=None).link == LinkSettings()
        True
    """
    if settings is not None and not isinstance(settings, Settings | ActorSettings):
        refuse("settings", settings, "Settings or ActorSettings")
    merged = settings if isinstance(settings, Settings) else Settings(actors=settings or ActorSettings())
    given: dict[str, Any] = {}
    for name, section in explicit.items():
        check_instance(name, section, _sections()[name])
        if section is not None:
            given[name] = section
    return replace(merged, **given)


def _load_section(source: str, name: str, values: Mapping[str, object], base: T) -> T:
    keys = [each.name for each in fields(cast("Any", base))]
    for key in values:
        if key not in keys:
            raise SettingsError(f"{source}: [{name}] has no key {key!r}: {_meant(key, keys)}")
    given = {key: _frozen(value) for key, value in values.items()}
    try:
        return cast("T", replace(cast("Any", base), **given))
    except SettingsError as error:
        raise SettingsError(f"{source}: [{name}]: {error}") from None


def _frozen(value: object) -> object:
    return tuple(_frozen(each) for each in cast("list[object]", value)) if isinstance(value, list) else value


def _meant(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The names that are near, or all of them."""
    near = get_close_matches(name.replace("-", "_").lower(), list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"


def _sections() -> Mapping[str, type[Any]]:
    """The class of each section, which also makes its default."""
    return {each.name: cast("type[Any]", each.default_factory) for each in fields(Settings)}


def _find(path: Path) -> tuple[Path, Mapping[str, object]]:
    """The nearest file with settings, and what it says."""
    if not path.is_dir():
        found = _read(path)
        if found is None:
            missing = f"has no table [tool.{TABLE}]" if path.exists() else "does not exist"
            raise SettingsError(f"{path} {missing}: there are no settings to be read")
        return path, found
    for folder in (path.absolute(), *path.absolute().parents):
        for name in (FILE, PROJECT):
            found = _read(folder / name)
            if found is not None:
                return folder / name, found
    raise SettingsError(f"there is no {FILE}, and no {PROJECT} with a table [tool.{TABLE}], in {path.absolute()} or above")


def _read(file: Path) -> Mapping[str, object] | None:
    """The sections in a file; None when there is no such file, or it is a project's and has none."""
    try:
        values: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no TOML: {error}") from error
    if file.name != PROJECT:
        return cast("Mapping[str, object]", values)
    tool = values.get("tool")
    found = cast("dict[str, object]", tool).get(TABLE) if isinstance(tool, dict) else None
    if found is not None and not isinstance(found, dict):
        raise SettingsError(f"{file}: tool.{TABLE} must be a table, not {found!r:.200}")
    return cast("Mapping[str, object] | None", found)
