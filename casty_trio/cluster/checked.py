"""Local messages through the codec, as if they came from another node. Floor F4; for ``check_serialization=True``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from trio.lowlevel import checkpoint

from casty_trio.actors.refs import LocalRef, ReplySlot
from casty_trio.errors import AskError, MessageTooLargeError
from casty_trio.model.address import ActorAddress
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.refs import REPLY, pack_reply, unpack_reply

__all__ = ["Checked"]

M = TypeVar("M", contravariant=True)


class Checked:
    """Copies messages by encoding and decoding them; refs stay equal, but what they are told goes the same way.

    Parameters:
        codec: the node's.
        max_message: no message has more bytes.
        seen_to: kinds of refs that see to their messages themselves.
    """

    def __init__(self, codec: Codec, max_message: int, seen_to: Iterable[type[ActorRef[Any]]] = ()) -> None:
        self._codec = codec
        self._max_message = max_message
        self._seen_to: tuple[type[ActorRef[Any]], ...] = (CheckedSlot, CheckedRef, *seen_to)

    def copy(self, message: Any) -> Any:
        """What the other side would get.

        Raises:
            EncodeError: it cannot be sent.
            DecodeError: it does not come back.
        """
        found: list[ActorRef[Any]] = []

        def write(ref: ActorRef[Any]) -> tuple[int, bytes]:
            found.append(self._checked(ref))
            return pack_reply(len(found) - 1)

        def read(code: int, payload: memoryview) -> ActorRef[Any]:
            assert code == REPLY  # written above
            return found[unpack_reply(payload)]

        name, body = self._codec.encode(message, write)
        if len(body) > self._max_message:
            raise MessageTooLargeError(f"{name} of {len(body)} bytes exceeds the limit of {self._max_message} bytes")
        return self._codec.decode(name, body, read)

    def _checked(self, ref: ActorRef[Any]) -> ActorRef[Any]:
        """The ref that the other side gets."""
        if type(ref) in self._seen_to:
            return ref
        if isinstance(ref, ReplySlot):
            return CheckedSlot(self, ref)
        return CheckedRef[Any](self, ref) if isinstance(ref, LocalRef) else ref


class CheckedRef(LocalRef[M]):
    """A ref to an actor of this node, in a checked message: what it is told is copied too. Else it is as good as the actor's
    own: it can be stopped, waited for and subscribed.
    """

    __slots__ = ("_checked", "_ref")

    def __init__(self, checked: Checked, ref: LocalRef[M]) -> None:
        super().__init__(ref.cell, ref.outbox, ref.incarnation)
        self._checked = checked
        self._ref = ref  # that counts what is sent

    def tell(self, message: M) -> None:
        self._ref.tell(self._checked.copy(message))

    async def send(self, message: M) -> None:
        await self._ref.send(self._checked.copy(message))

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self._ref.tell_asked(self._checked.copy(message), slot)


class CheckedSlot(ReplySlot):
    """A reply ref whose replies are copied too."""

    __slots__ = ("_checked", "_slot")

    def __init__(self, checked: Checked, slot: ReplySlot) -> None:
        self._checked = checked
        self._slot = slot

    @property
    def closed(self) -> bool:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride] # the slot's own
        return self._slot.closed

    @property
    def deadline(self) -> float:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride] # the slot's own
        return self._slot.deadline

    @property
    def waits_until(self) -> float:
        return self._slot.waits_until

    @property
    def address(self) -> ActorAddress:
        return self._slot.address

    def tell(self, message: Any) -> None:
        self._slot.tell(self._checked.copy(message))

    async def send(self, message: Any) -> None:
        await checkpoint()
        self.tell(message)

    def fail(self, error: AskError) -> None:
        self._slot.fail(error)
