"""One framed connection over any anyio byte stream, shared by nodes and the client. Floor F2; anyio only."""

from casty_trio.link.dialing import RETRY as RETRY, dial as dial
from casty_trio.link.link import Link as Link, Secure as Secure, open_link as open_link
from casty_trio.link.outbox import LinkStatistics as LinkStatistics
