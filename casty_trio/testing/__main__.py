"""``python -m casty_trio.testing --seed N``: runs the plan of one seed, and makes it smaller when it fails. Floor F6."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from casty_trio.errors import CastyError, UsageError
from casty_trio.testing.bench import Report, Setup, run_plan
from casty_trio.testing.errors import InvariantError
from casty_trio.testing.plan import Plan, Swarm
from casty_trio.testing.shrinking import shrink

__all__ = ["load_setup", "main"]

STANDARD = "casty_trio.testing.clustered:clustered"


def load_setup(name: str) -> Setup:
    """The setup of a program, as ``module:function``; modules are found in the present folder, too.

    Raises:
        UsageError: there is none.
    """
    module, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--program {name}: no such function: {error}") from error
    return cast("Setup", found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; that of this process when left out.

    Returns:
        What the process ends with: 0, or 1 when the run failed, or 2 when there is no such program.
    """
    options = _parser().parse_args(arguments)
    with nullcontext() if options.log else silence():
        return _run(options)


@contextmanager
def silence() -> Generator[None]:
    """Log nothing for as long as the block lasts: a run under faults has much to complain of."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _run(options: argparse.Namespace) -> int:
    try:
        setup = load_setup(options.program)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    plan = Swarm().plan(options.seed)
    sys.stdout.write(f"{plan}\n")
    try:
        report = run_plan(setup, plan, trace=options.trace)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        sys.stdout.write(f"{told(error)}\n")
        if options.shrink:
            _shrink(setup, plan, error)
        return 1
    sys.stdout.write(f"{summary(report)}\n")
    return 0


def _shrink(setup: Setup, plan: Plan, error: Exception) -> None:
    smallest = shrink(plan, lambda smaller: _same(error, _failure(setup, smaller)))
    sys.stdout.write(f"the smallest plan that fails so:\n{told(_failure(setup, smallest))}\n")


def told(error: BaseException | None) -> str:
    """An error with its notes."""
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])


def summary(report: Report) -> str:
    """What a run did, in a few lines."""
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(report.faults.items()))
    figures = ", ".join(f"{name} {value:g}" for name, value in report.figures.items())
    head = f"{report.seconds:.1f} s of virtual time, {report.steps} steps, digest {report.digest}"
    return "\n".join([head, f"faults: {faults}", f"in flight at each: {report.in_flight:g} or more", figures])


def _failure(setup: Setup, plan: Plan) -> Exception | None:
    try:
        run_plan(setup, plan)
    except Exception as error:  # noqa: BLE001 - whether it is the one looked for is seen then
        return error
    return None


def _same(one: Exception, other: Exception | None) -> bool:
    if isinstance(one, InvariantError):
        return isinstance(other, InvariantError) and one.invariant == other.invariant
    return type(one) is type(other) and type(one.__cause__) is type(
        other.__cause__ if isinstance(other, CastyError) else None
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m casty_trio.testing", description="Run the plan of one seed on a simulated cluster."
    )
    parser.add_argument("--seed", type=int, required=True, help="which plan, and what else is left to chance")
    parser.add_argument("--program", default=STANDARD, metavar="MODULE:FUNCTION", help="the setup of what is tested")
    parser.add_argument("--trace", action="store_true", help="tell the last steps of all tasks when it fails")
    parser.add_argument("--shrink", action="store_true", help="look for the smallest plan that fails so")
    parser.add_argument("--log", action="store_true", help="let the systems log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
