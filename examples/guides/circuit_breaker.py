"""A companion: rules with state of their own are a frozen value beside the actor, and its handler keeps the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import trio.testing

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class Breaker:
    """Lets calls through until too many failed in a row, and then one after a while. It knows nothing of actors."""

    limit: int = 3
    rest: float = 30.0
    failures: int = 0
    opened_at: float | None = None

    def allows(self, now: float) -> bool:
        return self.opened_at is None or now >= self.opened_at + self.rest

    def succeeded(self) -> Breaker:
        return replace(self, failures=0, opened_at=None)

    def failed(self, now: float) -> Breaker:
        failures = self.failures + 1
        return replace(self, failures=failures, opened_at=now if failures >= self.limit else None)


@dataclass(frozen=True)
class Call:
    healthy: bool  # whether the service behind is
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class GetState:
    reply_to: ActorRef[str]


GateMsg = Call | GetState


def gateway(breaker: Breaker) -> Behavior[GateMsg]:
    def receive(ctx: ActorContext[GateMsg], msg: GateMsg) -> Behavior[GateMsg]:
        now = trio.current_time()
        match msg:
            case Call(reply_to=reply_to) if not breaker.allows(now):
                reply_to.tell("circuit open")
                return Behaviors.same()
            case Call(healthy, reply_to):
                reply_to.tell("ok" if healthy else "service error")
                return gateway(breaker.succeeded() if healthy else breaker.failed(now))
            case GetState(reply_to):
                reply_to.tell("closed" if breaker.opened_at is None else "open")
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ActorSystem("gateway") as system:
        ref = system.spawn(gateway(Breaker()), "gateway")

        for _ in range(3):
            print(await system.ask(ref, partial(Call, False)))
        print(f"state: {await system.ask(ref, GetState)}")
        print(await system.ask(ref, partial(Call, True)))
        await trio.sleep(30)
        print(await system.ask(ref, partial(Call, True)))
        print(f"state: {await system.ask(ref, GetState)}")


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))  # virtual time: half a minute passes at once
