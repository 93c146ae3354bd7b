"""A state machine: each colour is a behaviour, and handling a message gives the next one."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class Next:
    pass


@dataclass(frozen=True)
class GetColor:
    reply_to: ActorRef[str]


LightMsg = Next | GetColor


def light(color: str, following: dict[str, str]) -> Behavior[LightMsg]:
    """The light while it shows one colour."""

    def receive(ctx: ActorContext[LightMsg], msg: LightMsg) -> Behavior[LightMsg]:
        match msg:
            case Next():
                print(f"{color} → {following[color]}")
                return light(following[color], following)
            case GetColor(reply_to):
                reply_to.tell(color)
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ActorSystem("traffic") as system:
        ref = system.spawn(light("green", {"green": "yellow", "yellow": "red", "red": "green"}), "light")
        for _ in range(3):
            ref.tell(Next())
        color: str = await system.ask(ref, lambda r: GetColor(reply_to=r))
        print(f"Current color: {color}")


if __name__ == "__main__":
    trio.run(main)
