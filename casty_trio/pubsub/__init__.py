"""Topics, and actors that are reached by their path, on every node of a cluster. Floor F5."""

from casty_trio.pubsub.extension import Topics as Topics
