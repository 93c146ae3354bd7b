"""What a certificate says about a peer: a cluster, a role, perhaps a name, in a URI of its own. Floor F1, pure.

``casty://shop/node/node-1`` is the node ``node-1`` of the cluster ``shop``; ``casty://shop/node`` any node of it. After the
role ``client`` a name is for people: clients make their ids up. A certificate may hold several such URIs, for several
clusters say; one that fits is enough. Every part is quoted, so no name can pass for two parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from casty_trio.errors import HandshakeError
from casty_trio.protocol.handshake import Identity, escaped

__all__ = ["certificate_uri", "check_certified", "vouches"]


def certificate_uri(system: str, role: str, name: str = "") -> str:
    """The URI that has to stand among the alternative names of a certificate.

    Args:
        system: the name of the cluster.
        role: ``"node"`` or ``"client"``.
        name: a node's id, if the certificate is for that node alone; a client's name, for people.

    Example:
        >>> certificate_uri("shop", "node", "node-1")
        'casty://shop/node/node-1'
    """
    return "casty://" + "/".join(quote(part, safe="") for part in (system, role, name) if part)


def vouches(uris: Iterable[str], system: str, role: str, node_id: str = "") -> bool:
    """Whether a certificate with these URIs is good for such a peer.

    Example:
        >>> vouches(["casty://shop/node"], "shop", "node", "node-1"), vouches(["casty://shop/client"], "shop", "node")
        (True, False)
    """
    whole = certificate_uri(system, role)
    if role != "node":
        return any(uri == whole or uri.startswith(f"{whole}/") for uri in uris)
    return any(uri in (whole, certificate_uri(system, role, node_id)) for uri in uris)


def check_certified(uris: tuple[str, ...], peer: Identity) -> None:
    """Compare what a peer says of itself with what its certificate says.

    Args:
        uris: the URIs of the certificate; TLS has verified it.
        peer: who the peer says it is.

    Raises:
        HandshakeError: with code ``"certificate"``, when the certificate is for somebody else.
    """
    if not vouches(uris, peer.system, peer.role, peer.node_id):
        who = f"{peer.role} '{escaped(peer.node_id)}' of '{escaped(peer.system)}'"
        held = escaped(", ".join(uris)) or "nothing that begins with casty://"
        raise HandshakeError("certificate", f"the peer says it is {who}, but its certificate is for {held}")
