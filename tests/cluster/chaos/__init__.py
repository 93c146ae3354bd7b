"""Clusters of real processes on loopback: formed in many ways, killed, stopped, cut in two, and healed.

`processes` starts nodes and hears what they know, `steps` says what is done to them and what has to come of it, and
`python -m tests.cluster.chaos` does that for as long as it is told, and counts.
"""
