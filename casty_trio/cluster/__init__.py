"""The node as a member of a cluster. Floor F4."""

from casty_trio.cluster.extension import Extension as Extension, install as install, installed as installed
from casty_trio.cluster.registry import RegistryService as RegistryService
from casty_trio.cluster.system import ClusteredActorSystem as ClusteredActorSystem
