"""TLS for nodes and clients: certificates on both sides, of one authority. Floor F2; anyio only.

A `Config` is given to `ClusteredActorSystem` and `ClusterClient` as ``tls=``. Both ends always show a certificate and always
check the other's; whom it is for stands in a URI in it: ``casty://<cluster>/node/<node id>``, or ``casty://<cluster>/client``.
``python -m casty_trio cert`` makes such certificates.
"""

from casty_trio.tls.config import Config as Config
from casty_trio.tls.credentials import Credentials as Credentials
