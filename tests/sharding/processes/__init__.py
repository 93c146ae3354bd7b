"""Entities on real processes: their nodes are restarted and killed, while another node asks them all the time.

`child` is a node in a process of its own, `front` asks and measures, `steps` says what is done and what has to come of it,
and `python -m tests.sharding.processes` does that for as long as it is told, and counts.
"""
