"""Actors that are found by what they offer, on every node of a cluster. Floor F5."""

from casty_trio.receptionist.extension import Receptionist as Receptionist
