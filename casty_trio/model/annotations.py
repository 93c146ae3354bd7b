from typing import Any


def factory_message_types(factory: Any) -> tuple[Any, ...]:
    return ()
