"""Look-ups that need no network, and asking them until somebody is found; on both libraries."""

from typing import Any

import anyio
import pytest
import sniffio
import trio

from casty_trio import ClientSettings, ClusterClient, ConnectError, DiscoveryError, Settings, SettingsError, discovery
from casty_trio.discovery.lookups import parse_address
from casty_trio.env import RealEnv
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import NAME, PORT, GetAll, Host, carts_of, make_node, open_shop, to

ONE, TWO = ("10.0.0.1", 25_520), ("10.0.0.2", 25_521)


class Fickle:
    """Fails, finds nobody, and finds somebody, as it is told."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __repr__(self) -> str:
        return "Fickle"

    async def __call__(self) -> Any:
        await anyio.lowlevel.checkpoint()
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.anyio
async def test_static(anyio_backend: str) -> None:
    assert sniffio.current_async_library() == anyio_backend
    assert await discovery.Static([ONE, TWO, ONE])() == (ONE, TWO)
    assert await discovery.Static([])() == ()
    with pytest.raises(SettingsError, match="addresses must be addresses"):
        discovery.Static("10.0.0.1:25520")  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_environment(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read at each look-up; a variable that is not set names nobody."""
    find = discovery.Environment("CASTY_TEST_CONTACTS")
    monkeypatch.delenv("CASTY_TEST_CONTACTS", raising=False)
    assert await find() == ()
    monkeypatch.setenv("CASTY_TEST_CONTACTS", "10.0.0.1, 10.0.0.2:25521,[::1]:7,::1, ")
    assert await find() == (ONE, TWO, ("::1", 7), ("::1", 25_520))
    monkeypatch.setenv("CASTY_TEST_CONTACTS", "10.0.0.1:port")
    with pytest.raises(DiscoveryError, match=r"CASTY_TEST_CONTACTS: '10.0.0.1:port' is no host:port"):
        await find()
    with pytest.raises(SettingsError, match="the name of a variable"):
        discovery.Environment("")


@pytest.mark.parametrize("text", [":1", "host:", "host:0", "host:65536", "host:-1", "[]:1", "host:1:", "²:²"])
def test_what_is_no_address(text: str) -> None:
    """Nor is what only looks like numbers. More than one colon is an IPv6 address, which the resolver judges."""
    if text == "host:1:":
        assert parse_address(text, 1, "x") == ("host:1:", 1)
        return
    with pytest.raises(DiscoveryError, match="is no host:port"):
        parse_address(text, 1, "x")


@pytest.mark.anyio
async def test_the_first_that_finds_somebody(anyio_backend: str) -> None:
    """Those behind it are not asked; those that fail are passed over, unless all do."""
    last = Fickle([TWO])
    assert await discovery.FirstOf(Fickle(OSError("no")), Fickle([]), Fickle([ONE]), last)() == (ONE,)
    assert last.asked == 0
    assert await discovery.FirstOf(Fickle(DiscoveryError("no")), Fickle([]))() == ()
    with pytest.raises(DiscoveryError, match="Fickle failed: ValueError: one; two"):
        await discovery.FirstOf(Fickle(ValueError("one")), Fickle(DiscoveryError("two")))()
    with pytest.raises(SettingsError, match="one look-up at least"):
        discovery.FirstOf()
    with pytest.raises(SettingsError, match="each of lookups"):
        discovery.FirstOf(5)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_searching(anyio_backend: str) -> None:
    """Again and again, until somebody is found or the time is over."""
    find = Fickle(OSError("no"), [], "nonsense", [ONE])
    assert await discovery.search(find, interval=0.001) == (ONE,)
    assert find.asked == 4
    with pytest.raises(DiscoveryError, match=r"Fickle has found no node within 0.05 s: Fickle failed: OSError: no"):
        await discovery.search(Fickle(OSError("no")), interval=0.001, timeout=0.05)
    with pytest.raises(DiscoveryError, match="it named nobody"):
        await discovery.search(Fickle([]), interval=0.001, timeout=0.05, jitter=lambda: 1.0)
    told = list[str]()
    await discovery.search(Fickle(OSError("no"), [], [ONE]), interval=0.001, in_vain=told.append)
    assert told == ["Fickle failed: OSError: no", "it named nobody"]


@pytest.mark.anyio
async def test_names(anyio_backend: str) -> None:
    """What the system's resolver knows; a name that there is not is an error by name."""
    assert ("127.0.0.1", 7) in await discovery.Dns("localhost", 7)()
    assert await discovery.Dns("127.0.0.1")() == (("127.0.0.1", 25_520),)
    with pytest.raises(DiscoveryError, match=r"no\.such\.invalid cannot be looked up"):
        await discovery.Dns("no.such.invalid")()
    with pytest.raises(DiscoveryError, match="cannot be looked up"):
        await discovery.Dns("x" * 100)()


class Records(RealEnv):
    """A resolver that knows A and AAAA records of one name."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        if host != "shop.test":
            raise OSError(f"{host} is not known")
        return ("10.1.0.1", "10.1.0.2", "2001:db8::1")


@pytest.mark.anyio
async def test_a_record_for_each_node(anyio_backend: str) -> None:
    """A and AAAA records, each a node."""
    find = discovery.Dns("shop.test", 7, env=Records())
    assert await find() == (("10.1.0.1", 7), ("10.1.0.2", 7), ("2001:db8::1", 7))
    with pytest.raises(DiscoveryError, match=r"cart\.test cannot be looked up: cart\.test is not known"):
        await discovery.Dns("cart.test", env=Records())()


@pytest.mark.anyio
async def test_the_real_environment(anyio_backend: str) -> None:
    env = RealEnv()
    assert env.variable("PATH")
    assert await env.resolve("::1") == ("::1",)


# --- Who is told ------------------------------------------------------------------------------------------------------


def test_a_client_that_knows_nobody_asks() -> None:
    """K1: it enters as soon as somebody has been found, and is told of."""
    find = Fickle(OSError("not yet"), [], [("node-1", PORT)])

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with ClusterClient([], NAME, discovery=find, env=sim.env("client-1")) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                assert client.contact_points == (("node-1", PORT),)

    assert 2.0 <= simulate(scenario, 1).seconds < 3.0
    assert find.asked == 3


def test_a_client_asks_again_when_all_contacts_are_gone() -> None:
    """K3: all it was given and all it has learnt have moved to other addresses, which a discovery knows."""
    found = [("node-1", PORT)]

    async def find() -> list[tuple[str, int]]:
        return found

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            first, second = Host(sim, nursery, 1), Host(sim, nursery, 2)
            await first.start()
            async with ClusterClient([], NAME, discovery=find, env=sim.env("client-1")) as client:
                await first.stop()
                await second.start()
                found[:] = [("node-2", PORT)]
                assert await client.ask(carts_of(client), to("a", GetAll), timeout=10) == ()
                assert client.contact_points == (("node-2", PORT),)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_nobody_is_found() -> None:
    """K1: entering ends at its deadline, and a note says what the discovery said; `discovery_interval` lies between."""
    find = Fickle(OSError("no"))
    settings = Settings(client=ClientSettings(discovery_interval=3.0, discovery_timeout=5.0))

    async def scenario(sim: Simulation) -> None:
        with pytest.raises(ConnectError, match="none is known") as caught:
            await ClusterClient([], NAME, discovery=find, settings=settings, env=sim.env("client-1")).__aenter__()
        assert caught.value.__notes__ == ["discovery: Fickle failed: OSError: no"]

    assert 9.9 < simulate(scenario, 1).seconds < 10.1
    assert find.asked == 4


@pytest.mark.parametrize("said", [[], OSError("no")])
def test_nodes_that_are_known_are_dialled_while_a_discovery_names_nobody(said: Any) -> None:
    """K3: the node is back where it was, which no discovery has to tell."""
    find = Fickle(said)

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            async with ClusterClient([("node-1", PORT)], NAME, discovery=find, env=sim.env("client-1")) as client:
                await host.kill()
                await trio.sleep(20)
                assert 5 < find.asked <= 20  # once a second, or less often
                await host.start()
                assert await client.ask(carts_of(client), to("a", GetAll), timeout=5) == ()
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_what_a_discovery_said_is_told_although_it_may_go_on() -> None:
    """K1: a client gives up entering long before its discovery does."""

    async def scenario(sim: Simulation) -> None:
        with pytest.raises(ConnectError, match="none is known") as caught:
            async with ClusterClient([], NAME, discovery=Fickle([]), connect_timeout=2.0, env=sim.env("client-1")):
                pytest.fail("it was entered")
        assert caught.value.__notes__ == ["discovery: it named nobody"]

    simulate(scenario, 1)


def test_nodes_find_their_seeds_by_it() -> None:
    """The same objects serve ``seed_nodes``."""

    async def scenario(sim: Simulation) -> None:
        find = discovery.FirstOf(Fickle(OSError("no")), discovery.Static([("node-1", PORT)]))
        async with make_node(sim, 1, seed_nodes=find) as one, make_node(sim, 2, seed_nodes=find, required_quorum=2):
            assert len(one.members) == 2

    simulate(scenario, 1)
