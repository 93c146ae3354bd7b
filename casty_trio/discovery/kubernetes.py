"""Look-up of the pods behind a service, from the API of the Kubernetes cluster a process runs in. Floor F2, on anyio.

Who it is, and whom it believes, the pod's service account says: a token, which is read again at each look-up because it
expires, an authority, and a namespace. The account may list EndpointSlices (or get Endpoints), and nothing else.
"""

from __future__ import annotations

import ssl
from importlib import import_module
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import anyio
import msgspec

from casty_trio.env import Env, RealEnv
from casty_trio.errors import DiscoveryError, SettingsError
from casty_trio.model.checks import check_choice, check_flag, check_instance, check_port, check_seconds, refuse

__all__ = ["Kubernetes"]

ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
HOST: Final = "KUBERNETES_SERVICE_HOST"
PORT: Final = "KUBERNETES_SERVICE_PORT"
SLICES: Final = (
    "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{}&limit={}"
)
ENDPOINTS: Final = "/api/v1/namespaces/{}/endpoints/{}"
PAGE: Final = 500
"""So many slices are asked for at once, as the API's own tools do."""
GONE: Final = 410
"""What the API answers when the list that a page belongs to is too old by now."""
LISTINGS: Final = 3
"""So often a list is begun that grew too old while it was read."""

T = TypeVar("T")


class _Port(msgspec.Struct, frozen=True):
    port: int | None = None
    name: str | None = None


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions = _Conditions()


class _Slice(msgspec.Struct, frozen=True):
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_Port, ...] | None = None


class _Listed(msgspec.Struct, frozen=True, rename={"following": "continue"}):
    following: str | None = None


class _Slices(msgspec.Struct, frozen=True):
    items: tuple[_Slice, ...] = ()
    metadata: _Listed = _Listed()


class _Address(msgspec.Struct, frozen=True):
    ip: str


class _Subset(msgspec.Struct, frozen=True, rename={"not_ready": "notReadyAddresses"}):
    addresses: tuple[_Address, ...] | None = None
    not_ready: tuple[_Address, ...] | None = None
    ports: tuple[_Port, ...] | None = None


class _Endpoints(msgspec.Struct, frozen=True):
    subsets: tuple[_Subset, ...] | None = None


class Kubernetes:
    """The pods behind a service, as the Kubernetes API knows them; for programs that run in a pod themselves.

    It needs httpx: ``pip install 'casty-trio[kubernetes]'``, and an account that may list ``endpointslices`` of
    ``discovery.k8s.io`` in the namespace (or get ``endpoints``).

    Parameters:
        service: the service's name.
        port_name: the name of the port, as the service calls it; may be left out where there is one port only.
        port: the nodes' port, where the service does not tell it.
        namespace: the service's; that of the pod when left out.
        resource: what is asked for: ``"endpointslices"``, or ``"endpoints"`` in old clusters.
        ready_only: whether pods that are not ready are left out. For nodes that look for their seeds: False, unless the
            service publishes addresses that are not ready, for they are ready only when they have joined.
        account: the folder with ``token``, ``ca.crt`` and ``namespace``.
        timeout: how long a look-up may take, in seconds.
        env: the door to the environment and to files; the real one when left out.

    Raises:
        SettingsError: httpx is not installed, or an argument is wrong.

    Example:
        >>> # find = discovery.Kubernetes("shop", port_name="casty")
        >>> # ClusteredActorSystem("shop", pod_ip, 25520, pod_name, seed_nodes=find)
        >>> # ClusterClient([], "shop", discovery=find)
    """

    def __init__(
        self,
        service: str,
        *,
        port_name: str | None = None,
        port: int | None = None,
        namespace: str | None = None,
        resource: Literal["endpointslices", "endpoints"] = "endpointslices",
        ready_only: bool = True,
        account: str = ACCOUNT,
        timeout: float = 5.0,
        env: Env | None = None,
    ) -> None:
        if not isinstance(service, str) or not service:
            refuse("service", service, "the name of a service")
        for name, text in (("port_name", port_name), ("namespace", namespace), ("account", account)):
            check_instance(name, text, str)
        if port is not None:
            check_port("port", port, least=1)
        check_choice("resource", resource, ("endpointslices", "endpoints"))
        check_flag("ready_only", ready_only)
        check_seconds("timeout", timeout, positive=True, finite=True)
        check_instance("env", env, Env)
        self.service: str = service
        self.namespace: str | None = namespace
        self._port_name, self._port = port_name, port
        self._slices = resource == "endpointslices"
        self._ready_only = ready_only
        self._timeout = timeout
        self._env = env if env is not None else RealEnv()
        self._account = self._env.disk(account)
        try:
            self._httpx: Any = import_module("httpx")
        except ImportError as error:
            raise SettingsError(f"the API is asked with httpx: pip install 'casty-trio[kubernetes]' ({error})") from error

    def __repr__(self) -> str:
        return f"Kubernetes({self.service!r})"

    async def __call__(self) -> tuple[tuple[str, int], ...]:
        """The nodes.

        Raises:
            DiscoveryError: this is no pod, the API cannot be asked, or it does not answer as it should.
        """
        try:
            return await self._look()
        except (OSError, self._httpx.HTTPError, UnicodeDecodeError) as error:
            raise DiscoveryError(f"the pods of {self.service} cannot be looked up: {_why(error)}") from error

    async def _look(self) -> tuple[tuple[str, int], ...]:
        host, port = self._env.variable(HOST), self._env.variable(PORT) or "443"
        if not host:
            raise DiscoveryError(f"{HOST} is not set: this process runs in no pod")
        base = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        namespace = self.namespace or (await self._account.read("namespace")).decode().strip()
        names = quote(namespace, safe=""), quote(self.service, safe="")
        deadline = anyio.current_time() + self._timeout
        async with await self._open() as client:
            if self._slices:
                found = await self._list(client, base + SLICES.format(*names, PAGE), deadline)
            else:
                response = await client.get(base + ENDPOINTS.format(*names))
                found = self._from_endpoints(self._content(response))
        return tuple(dict.fromkeys(sorted(found)))

    async def _open(self) -> Any:
        """A connection to the API, as the account that this process has now."""
        token = (await self._account.read("token")).decode().strip()
        authority = (await self._account.read("ca.crt")).decode()
        try:
            context = ssl.create_default_context(cadata=authority)
        except ssl.SSLError as error:
            raise DiscoveryError(f"the authority of the service account cannot be used: {error}") from error
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        return self._httpx.AsyncClient(verify=context, headers=headers, timeout=self._timeout, trust_env=False)

    async def _list(self, client: Any, url: str, deadline: float) -> list[tuple[str, int]]:
        """All pages of the slices; from the first one again when the rest of them is gone."""
        for _ in range(LISTINGS - 1):
            found = await self._pages(client, url, deadline, may_be_gone=True)
            if found is not None:
                return found
        return await self._pages(client, url, deadline) or []

    async def _pages(
        self, client: Any, url: str, deadline: float, *, may_be_gone: bool = False
    ) -> list[tuple[str, int]] | None:
        found, following = list[tuple[str, int]](), ""
        while True:
            left = deadline - anyio.current_time()  # httpx keeps to it: a cancelled request leaks its socket
            if left <= 0:
                raise DiscoveryError(f"the pods of {self.service} cannot be looked up in {self._timeout:g} s")
            response = await client.get(f"{url}&continue={quote(following, safe='')}" if following else url, timeout=left)
            if response.status_code == GONE and following and may_be_gone:
                return None
            page = _decoded(self._content(response), _Slices)
            found += self._from_slices(page)
            following = page.metadata.following or ""
            if not following:
                return found

    def _content(self, response: Any) -> bytes:
        if response.status_code != 200:
            raise DiscoveryError(
                f"the API answers {response.status_code} for the pods of {self.service}: {response.text[:200]!r}"
            )
        content: bytes = response.content
        return content

    def _from_slices(self, page: _Slices) -> list[tuple[str, int]]:
        found = list[tuple[str, int]]()
        for each in page.items:
            for endpoint in each.endpoints or ():
                conditions = endpoint.conditions
                usable = not conditions.terminating and (conditions.ready is not False or not self._ready_only)
                if usable and endpoint.addresses:  # "no meaning beyond the first", says the API
                    found.append((endpoint.addresses[0], self._port_of(each.ports or ())))
        return found

    def _from_endpoints(self, body: bytes) -> list[tuple[str, int]]:
        found = list[tuple[str, int]]()
        for subset in _decoded(body, _Endpoints).subsets or ():
            addresses = [*(subset.addresses or ()), *(() if self._ready_only else subset.not_ready or ())]
            found.extend((address.ip, self._port_of(subset.ports or ())) for address in addresses)
        return found

    def _port_of(self, ports: tuple[_Port, ...]) -> int:
        if self._port is not None:
            return self._port
        fitting = [each.port for each in ports if self._port_name in (None, each.name) and each.port]
        if len(fitting) != 1:
            wanted = f"no port {self._port_name!r}" if self._port_name is not None else f"{len(fitting)} ports: say which"
            raise DiscoveryError(f"the service {self.service} has {wanted}")
        return fitting[0]


def _why(error: BaseException) -> str:
    """What an error says, or the first of its causes that says anything."""
    cause: BaseException | None = error
    while cause is not None:
        if str(cause):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DiscoveryError(f"what the API answers is none: {error}") from error
