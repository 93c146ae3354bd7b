"""What ``python -m casty_trio`` does with clusters: looks at them, and runs nodes. Floor F6."""

from casty_trio.commands.parser import add_commands as add_commands
