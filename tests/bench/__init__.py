"""Benchmarks: the framework, bare programs that do the same work, and peers, measured in turns on one machine.

`python -m tests.bench` runs them. What counts is the ratio to the bare programs (the *limits*): how much of what this
machine can do, at this time, is left. Nothing here is a test of speed; the only test checks the arithmetic.
"""
