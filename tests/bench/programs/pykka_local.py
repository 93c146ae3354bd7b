"""The local rows on pykka, whose actors are threads.

python -m tests.bench.programs.pykka_local {messages,callers}
"""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.bench.programs.measuring import (
    CALLERS,
    PEER_ASKS,
    PEER_CALLS,
    PEER_TELLS,
    WARM_UP,
    Result,
    check,
    print_result,
    timed,
)

pykka: Any = importlib.import_module("pykka")  # the checkers need not have it


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    pass


class Counter(pykka.ThreadingActor):  # type: ignore[misc] # its base is Any
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: Add | Get) -> int | None:
        match message:
            case Add(amount):
                self.total += amount
                return None
            case Get():
                return self.total


def messages(result: Result) -> None:
    ref = Counter.start()
    for _ in range(WARM_UP):
        ref.tell(Add(1))
    check(ref.ask(Get()), WARM_UP)
    with timed(result, "tell_per_s", PEER_TELLS):
        for _ in range(PEER_TELLS):
            ref.tell(Add(1))
        check(ref.ask(Get()), WARM_UP + PEER_TELLS)
    with timed(result, "ask_per_s", PEER_ASKS):
        for _ in range(PEER_ASKS):
            ref.ask(Get())


def callers(result: Result) -> None:
    refs = [Counter.start() for _ in range(CALLERS)]

    def call(ref: Any) -> int:
        return sum(ref.ask(Get()) is not None for _ in range(PEER_CALLS))

    with ThreadPoolExecutor(CALLERS) as threads, timed(result, "ask_64_per_s", CALLERS * PEER_CALLS):
        answered = sum(threads.map(call, refs))
    check(answered, CALLERS * PEER_CALLS)


RUNS = {"messages": messages, "callers": callers}

if __name__ == "__main__":
    measured: Result = {}
    try:
        RUNS[sys.argv[1]](measured)
    finally:
        pykka.ActorRegistry.stop_all()
    print_result(measured)
