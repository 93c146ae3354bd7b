"""One actor on every member, and a ref that reaches them all. Floor F5."""

from casty_trio.broadcasting.extension import Broadcasting as Broadcasting
