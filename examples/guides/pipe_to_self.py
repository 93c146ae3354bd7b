"""Waiting without holding up: slow work runs beside the actor, and its result comes back as a message."""

from __future__ import annotations

from dataclasses import dataclass

import trio.testing

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class Fetch:
    city: str


@dataclass(frozen=True)
class Fetched:
    city: str
    forecast: str


@dataclass(frozen=True)
class Failed:
    reason: str


@dataclass(frozen=True)
class Ping:
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class GetForecasts:
    reply_to: ActorRef[dict[str, str]]


WeatherMsg = Fetch | Fetched | Failed | Ping | GetForecasts


async def fetch(city: str) -> Fetched:
    delay, forecast = {"london": (1, "12.5C cloudy"), "tokyo": (2, "28.0C sunny")}.get(city, (3, ""))
    await trio.sleep(delay)
    if not forecast:
        raise LookupError(f"no such city: {city}")
    return Fetched(city, forecast)


def weather(forecasts: dict[str, str]) -> Behavior[WeatherMsg]:
    def receive(ctx: ActorContext[WeatherMsg], msg: WeatherMsg) -> Behavior[WeatherMsg]:
        match msg:
            case Fetch(city):
                ctx.pipe_to_self(fetch(city), on_failure=lambda error: Failed(str(error)))
            case Fetched(city, forecast):
                print(f"{city.title()}: {forecast}")
                return weather({**forecasts, city: forecast})
            case Failed(reason):
                print(f"Failed: {reason}")
            case Ping(reply_to):
                reply_to.tell("pong")
            case GetForecasts(reply_to):
                reply_to.tell(forecasts)
        return Behaviors.same()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ActorSystem("weather") as system:
        ref = system.spawn(weather({}), "weather")
        for city in ("tokyo", "narnia", "london"):
            ref.tell(Fetch(city))
        print(await system.ask(ref, Ping), "- with three fetches on their way")
        await trio.sleep(5)
        print(f"Collected {len(await system.ask(ref, GetForecasts))} forecasts")


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))  # virtual time: seconds pass at once
