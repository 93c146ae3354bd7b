"""A class of a user's own, and a converter whose hooks for it hand its parts on to the converter."""

from typing import Any

import cattrs


class Wrapped:
    """Its hooks hand parts on to the converter."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts


def handing_on(kind: Any) -> cattrs.Converter:
    """A converter for it, with parts of that kind."""
    made = cattrs.Converter()

    @made.register_unstructure_hook_factory(lambda cls: cls is Wrapped)
    def unstructure(cls: Any, own: cattrs.Converter) -> Any:
        return lambda value: own.unstructure(value.parts, unstructure_as=kind)

    @made.register_structure_hook_factory(lambda cls: cls is Wrapped)
    def structure(cls: Any, own: cattrs.Converter) -> Any:
        return lambda plain, _: Wrapped(own.structure(plain, kind))

    return made
