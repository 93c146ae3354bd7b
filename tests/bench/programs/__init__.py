"""The programs that are measured. Each is run in a process of its own, takes arguments, and prints one JSON object.

They do what the limits do, in the same order and with the same counts, and they count work that was done: a program whose
totals do not come out right fails. The peers' programs do fewer rounds of the same work, for they take longer.
"""
