"""Who decides about a failure, and for whom. Floor F2.

The strategies of the failed actor are asked from the inside out. What one decides holds for the members of its group that it
says are affected: the failed actor hears it as the answer, the others by a signal, which comes before their mail. Windows
live with the parent, so they survive what they count.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.orders import Restart
from casty_trio.actors.reporting import log_failure
from casty_trio.model.strategies import Directive, SupervisionStrategy

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell

__all__ = ["escalates", "judge"]

log: logging.Logger = logging.getLogger("casty_trio.actors")


def judge(cell: Cell[Any], failure: Exception) -> Directive | Restart:
    """What becomes of an actor that failed; its group has been told."""
    for strategy in cell.blueprint.strategies:
        directive = _ask(strategy, cell, failure)
        match directive:
            case Directive.escalate:
                continue
            case Directive.resume:
                return directive
            case Directive.restart:
                return _restart(cell, strategy, failure)
            case _:
                _stop_others(cell, strategy)
                return Directive.stop
    return Directive.escalate if cell.blueprint.strategies else Directive.stop


def escalates(cell: Cell[Any], failure: Exception) -> bool:
    """Whether an actor that ends anyway would have escalated a failure; nothing is counted, and nobody is told."""
    strategies = cell.blueprint.strategies
    return bool(strategies) and all(_ask(each, cell, failure) is Directive.escalate for each in strategies)


def _ask(strategy: SupervisionStrategy, cell: Cell[Any], failure: Exception) -> Directive:
    kind = type(strategy).__name__
    try:
        directive: object = strategy.decide(failure)
    except Exception as error:  # noqa: BLE001 - a function of the program's
        log_failure(log, error, "the decider of %s failed: %s is stopped", kind, cell.path)
        return Directive.stop
    if isinstance(directive, Directive):
        return directive
    log.error("the decider of %s returned %r, which is no Directive: %s is stopped", kind, directive, cell.path)
    return Directive.stop


def _restart(cell: Cell[Any], strategy: SupervisionStrategy, failure: Exception) -> Directive | Restart:
    number = cell.parent.window(cell, strategy).restart(strategy, trio.current_time())
    if number is None:
        log.error("%s failed more than %d times in %g s: it is stopped", cell.path, strategy.max_restarts, strategy.within)
        _stop_others(cell, strategy)
        return Directive.stop
    delay = strategy.backoff.delay(number, cell.system.env.rng) if strategy.backoff is not None else 0.0
    for other in _others(cell, strategy):
        other.signal(Restart(failure, delay))
    return Restart(failure, delay)


def _stop_others(cell: Cell[Any], strategy: SupervisionStrategy) -> None:
    for other in _others(cell, strategy):
        other.stop(cell.system.settings.grace)


def _others(cell: Cell[Any], strategy: SupervisionStrategy) -> list[Cell[Any]]:
    """The members of the group that share the fate of the failed one."""
    group = [each for each in cell.parent.cells.values() if each is cell or strategy in each.blueprint.strategies]
    affected = strategy.affected(group.index(cell), len(group))
    return [group[index] for index in affected if group[index] is not cell and not group[index].ended]
