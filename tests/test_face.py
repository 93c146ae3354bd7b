"""The public face: what `import casty_trio` gives, and nothing by accident."""

import inspect
import types

import casty_trio
from casty_trio.broadcasting import Broadcasting
from casty_trio.cluster import install, installed
from casty_trio.pubsub import Topics
from casty_trio.receptionist import Receptionist
from casty_trio.sharding import Sharding
from casty_trio.singleton import Singletons


def test_every_public_name_is_re_exported_on_purpose() -> None:
    """``X as X`` in the face; floors are modules, and what the composition root needs has an underscore."""
    source = inspect.getsource(casty_trio)
    named = {name: thing for name, thing in vars(casty_trio).items() if not name.startswith("_")}
    public = {name for name, thing in named.items() if not isinstance(thing, types.ModuleType)}
    assert {name for name in public if f"{name} as {name}" not in source} == set()
    assert "Sharding" not in public


def test_a_service_is_installed_once() -> None:
    """Whoever imports the package twice, or reloads it, has one service of each kind in a node."""
    before = installed()
    install(Sharding)
    assert installed() == before == (Sharding, Broadcasting, Receptionist, Topics, Singletons)
