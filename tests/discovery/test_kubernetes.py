"""The pods of a service, from a server that speaks the EndpointSlice and Endpoints API over TLS; on both libraries."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sniffio
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSListener

from casty_trio import DiscoveryError, SettingsError, discovery
from casty_trio.env import RealEnv

TOKEN = "the-first-token"
SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dshop&limit=500"
)
ENDPOINTS = "/api/v1/namespaces/default/endpoints/shop"


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod"}}


def slices(*endpoints: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    ports = ports if ports is not None else [{"name": "casty", "port": 25_520, "protocol": "TCP"}]
    item = {"addressType": "IPv4", "endpoints": list(endpoints), "ports": ports}
    return {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": {}, "items": [item]}


class Pod(RealEnv):
    """The environment of a process in a pod."""

    def __init__(self, host: str | None, port: int) -> None:
        super().__init__()
        self.variables = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)


class Api:
    """The API server: what it answers to which path, and who asked."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.status = 200
        self.tokens = {TOKEN}
        self.asked = list[str]()
        self.folder = folder
        self.authority = trustme.CA()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self.env = Pod("127.0.0.1", 0)
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "namespace").write_text("default")
        (folder / "ca.crt").write_bytes(self.authority.cert_pem.bytes())

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.env = Pod("127.0.0.1", plain.extra(anyio.abc.SocketAttribute.local_port))
        listener = TLSListener(plain, self.context, standard_compatible=False)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._answer)
            yield
            tasks.cancel_scope.cancel()

    async def _answer(self, stream: ByteStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive()
            head, *lines = request.decode().split("\r\n")
            path = head.split(" ")[1]
            self.asked.append(path)
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            status, answer = self.status, self.answers.get(path)
            if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                status, answer = 401, {"message": "Unauthorized"}
            elif answer is None:
                status, answer = 404, {"message": "not found"}
            elif isinstance(answer, int):
                status, answer = answer, {"kind": "Status", "message": "as told"}
            elif callable(answer):
                status, answer = answer()
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            length = f"Content-Length: {len(body)}"
            await stream.send(f"HTTP/1.1 {status} Whatever\r\n{length}\r\nConnection: close\r\n\r\n".encode() + body)

    def find(self, **arguments: Any) -> discovery.Kubernetes:
        return discovery.Kubernetes("shop", account=str(self.folder), env=self.env, **arguments)


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path)


@pytest.mark.anyio
async def test_slices(anyio_backend: str, api: Api) -> None:
    """Pods that serve, sorted; none that goes, and none that is not ready, unless it is wanted."""
    assert sniffio.current_async_library() == anyio_backend
    api.answers[SLICES] = slices(
        endpoint("10.1.0.2", ready=True),
        endpoint("10.1.0.1"),
        endpoint("10.1.0.3", ready=False),
        endpoint("10.1.0.4", ready=True, terminating=True),
    )
    async with api.serve():
        assert await api.find()() == (("10.1.0.1", 25_520), ("10.1.0.2", 25_520))
        assert await api.find(ready_only=False, port_name="casty")() == tuple(
            (f"10.1.0.{number}", 25_520) for number in (1, 2, 3)
        )
        assert await api.find(port=7)() == (("10.1.0.1", 7), ("10.1.0.2", 7))
    assert api.asked == [SLICES] * 3


@pytest.mark.anyio
async def test_endpoints(anyio_backend: str, api: Api) -> None:
    """The older resource tells the same."""
    api.answers[ENDPOINTS] = {
        "kind": "Endpoints",
        "subsets": [
            {
                "addresses": [{"ip": "10.1.0.1", "nodeName": "x"}],
                "notReadyAddresses": [{"ip": "10.1.0.2"}],
                "ports": [{"name": "http", "port": 80}, {"name": "casty", "port": 25_520}],
            }
        ],
    }
    async with api.serve():
        assert await api.find(resource="endpoints", port_name="casty")() == (("10.1.0.1", 25_520),)
        both = await api.find(resource="endpoints", port_name="casty", ready_only=False)()
        assert both == (("10.1.0.1", 25_520), ("10.1.0.2", 25_520))
        with pytest.raises(DiscoveryError, match="has 2 ports: say which"):
            await api.find(resource="endpoints")()
        with pytest.raises(DiscoveryError, match="has no port 'grpc'"):
            await api.find(resource="endpoints", port_name="grpc")()
        api.answers[ENDPOINTS] = {"kind": "Endpoints", "subsets": None}
        assert await api.find(resource="endpoints")() == ()


@pytest.mark.anyio
async def test_another_namespace(anyio_backend: str, api: Api) -> None:
    async with api.serve():
        api.answers[SLICES.replace("default", "prod%2Fx")] = slices(endpoint("10.1.0.9"))
        assert await api.find(namespace="prod/x")() == (("10.1.0.9", 25_520),)


@pytest.mark.anyio
async def test_a_token_that_was_renewed(anyio_backend: str, api: Api) -> None:
    """It is read at each look-up, for tokens expire."""
    api.answers[SLICES] = slices(endpoint("10.1.0.1"))
    async with api.serve():
        find = api.find()
        assert await find() == (("10.1.0.1", 25_520),)
        api.tokens = {"the-second-token"}
        with pytest.raises(DiscoveryError, match=r"answers 401 for the pods of shop.*Unauthorized"):
            await find()
        (api.folder / "token").write_text("the-second-token")
        assert await find() == (("10.1.0.1", 25_520),)


@pytest.mark.anyio
async def test_a_server_that_cannot_be_believed(anyio_backend: str, api: Api) -> None:
    """Its certificate has to come from the account's authority; it gets no token before."""
    api.answers[SLICES] = slices(endpoint("10.1.0.1"))
    (api.folder / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    async with api.serve():
        with pytest.raises(DiscoveryError, match=r"cannot be looked up: .*(?i:certificate)"):
            await api.find()()
    assert api.asked == []
    (api.folder / "ca.crt").write_text("nonsense")
    with pytest.raises(DiscoveryError, match="authority of the service account"):
        await api.find()()


@pytest.mark.anyio
async def test_what_else_goes_wrong(anyio_backend: str, api: Api) -> None:
    """Each by name: no such service, no API, no pod, no account, and an answer that is none."""
    async with api.serve():
        with pytest.raises(DiscoveryError, match="answers 404"):
            await api.find()()
        for nonsense in (b"{", b'{"items": 5}', b"\xff"):
            api.answers[SLICES] = nonsense
            with pytest.raises(DiscoveryError, match="what the API answers is none"):
                await api.find()()
    with pytest.raises(DiscoveryError, match="the pods of shop cannot be looked up"):
        await api.find()()
    api.env = Pod(None, 443)
    with pytest.raises(DiscoveryError, match="this process runs in no pod"):
        await api.find()()
    api.env = Pod("127.0.0.1", 443)
    (api.folder / "token").unlink()
    with pytest.raises(DiscoveryError, match="token"):
        await api.find()()


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500])
@pytest.mark.parametrize("resource", ["endpointslices", "endpoints"])
async def test_each_refusal_by_name(anyio_backend: str, api: Api, status: int, resource: Any) -> None:
    """Unknown, not allowed (which rights it takes, the class tells), not there, too old, too often, and broken."""
    api.answers[SLICES if resource == "endpointslices" else ENDPOINTS] = status
    async with api.serve():
        with pytest.raises(DiscoveryError, match=f"the API answers {status} for the pods of shop: .*as told"):
            await api.find(resource=resource)()
    assert len(api.asked) == 1


def page(address: str, following: str = "") -> dict[str, Any]:
    answer = slices(endpoint(address))
    answer["metadata"] = {"continue": following, "resourceVersion": "7"} if following else {"resourceVersion": "7"}
    return answer


@pytest.mark.anyio
async def test_slices_in_pages(anyio_backend: str, api: Api) -> None:
    """Each names the next one; what stands in that word is the server's matter."""
    api.answers[SLICES] = page("10.1.0.1", "a/b=")
    api.answers[f"{SLICES}&continue=a%2Fb%3D"] = page("10.1.0.2", "c")
    api.answers[f"{SLICES}&continue=c"] = page("10.1.0.3")
    async with api.serve():
        assert await api.find()() == tuple((f"10.1.0.{number}", 25_520) for number in (1, 2, 3))
    assert len(api.asked) == 3


@pytest.mark.anyio
async def test_a_page_that_is_gone(anyio_backend: str, api: Api) -> None:
    """A list that grew too old while it was read is read again; for ever, it is not."""
    times = [410, 410, 200]
    api.answers[SLICES] = page("10.1.0.1", "c")
    api.answers[f"{SLICES}&continue=c"] = lambda: (times.pop(0), page("10.1.0.2"))
    async with api.serve():
        assert await api.find()() == (("10.1.0.1", 25_520), ("10.1.0.2", 25_520))
        assert len(api.asked) == 6
        api.answers[f"{SLICES}&continue=c"] = 410
        with pytest.raises(DiscoveryError, match="answers 410"):
            await api.find()()
        assert len(api.asked) == 12


@pytest.mark.anyio
async def test_pages_without_end(anyio_backend: str, api: Api) -> None:
    """``timeout`` is for the whole look-up."""
    api.answers[SLICES] = page("10.1.0.1", "c")
    api.answers[f"{SLICES}&continue=c"] = page("10.1.0.1", "c")
    async with api.serve():
        with pytest.raises(DiscoveryError, match=r"the pods of shop cannot be looked up"):
            await api.find(timeout=0.3)()


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="resource must be one of"):
        discovery.Kubernetes("shop", resource="pods")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="service must be the name"):
        discovery.Kubernetes("")

    def missing(name: str) -> None:
        raise ImportError(f"no module {name}")

    monkeypatch.setattr("casty_trio.discovery.kubernetes.import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'casty-trio\[kubernetes\]'"):
        discovery.Kubernetes("shop")
