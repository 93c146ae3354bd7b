"""One actor in the whole cluster, and a ref that reaches it wherever it runs. Floor F5."""

from casty_trio.singleton.extension import Singletons as Singletons
