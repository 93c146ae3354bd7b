"""One singleton as one node has it: its machine, its actor where it runs here, and the way of its mail. Floor F5.

What comes in is fed to the machine in the task that brings it, and what it wants is done at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.cell import Cell
from casty_trio.actors.finishing import Limit
from casty_trio.actors.mail import Adapted, Asked, Finish
from casty_trio.actors.refs import AskableRef, ReplySlot
from casty_trio.errors import ActorStoppedError, AskError, EncodeError, MailboxFullError
from casty_trio.model.behavior import Behaviors
from casty_trio.model.deadlines import Due
from casty_trio.model.kinds import Singleton
from casty_trio.model.lease import Lease
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import moving
from casty_trio.protocol.singleton import Effect, HandOn, Phase, Route, Say, Singleton as Machine, Start, Stop
from casty_trio.singleton.leasing import Keeper
from casty_trio.singleton.ref import LEFT, InstanceCell, LeftCell, SingletonRef

if TYPE_CHECKING:
    from casty_trio.cluster import ClusteredActorSystem
    from casty_trio.singleton.extension import Singletons

__all__ = ["Place"]

HURRY = 1.0
"""How long the handler of a singleton may go on whose node is no member any more, in seconds."""


class Place:
    """One singleton on one node."""

    def __init__(self, singletons: Singletons, name: str) -> None:
        self.name: str = name
        self._singletons = singletons
        self.system: ClusteredActorSystem = singletons.system
        self._machine = self._new_machine()
        self._uid = self.system.uid
        self._behavior: Singleton[Any] | None = None
        self._mailbox: Mailbox | None = None
        self._cell: Cell[Any] | None = None
        self._instance: InstanceCell | None = None
        self._limit: Limit | None = None
        self._keeper: Keeper | None = None
        self._goes = False
        self._wanted = False
        self._closed: str | None = None
        self._target: AskableRef[Any] | None = None
        self._held: deque[Any] = deque()
        self._left: list[Any] = []
        self._effects: deque[Effect] = deque()
        self._performing = False
        self._alarm: Due | None = None
        self._changed = trio.Event()

    def _new_machine(self) -> Machine:
        return Machine(self.name, self.system.uid, self.system.all_settings.singletons.retry)

    @property
    def ref(self) -> ActorRef[Any]:
        """The singleton's ref on this node."""
        assert self._cell is not None  # who asks is its actor
        return self._cell.ref

    # --- What happens -------------------------------------------------------------------------------------------------

    def appear(self, cell: Cell[Any], behavior: Singleton[Any], mailbox: Mailbox | None) -> None:
        """It is spawned here."""
        self._cell, self._behavior, self._mailbox, self._closed = cell, behavior, mailbox, None
        family = cell.family()
        door: LeftCell = LeftCell(self.system, family, LEFT, Behaviors.ignore(), None)
        assert isinstance(door.ref, SingletonRef)  # LeftCell makes no other
        door.ref.bind(self)
        family.add(door)
        self._perform(self._machine.appear(trio.current_time(), behavior.role))

    def disappear(self, cell: Cell[Any]) -> None:
        """Its cell has ended here, and with it the actor, if it ran here."""
        if cell is self._cell:
            self._cell = None
            self._closed = f"{self.name} was stopped on {self.system.node_id}"
            self._refuse_held(self._closed)

    def retire(self) -> None:
        """This node is not to run it any more."""
        self._perform(self._machine.retire(trio.current_time()))

    async def wait_idle(self) -> None:
        """Wait until it does not run here."""
        while self._machine.phase not in (Phase.IDLE, Phase.CLAIMING):
            await self._changed.wait()

    def set_members(self, members: Iterable[Member], silent: Iterable[int], margin: float) -> None:
        """The members of the cluster are these; as another start of the node, this is one from the beginning."""
        if self.system.uid != self._uid:
            self._uid = self.system.uid
            self._machine = self._new_machine()
            self._wanted = False
            if self._cell is not None and self._behavior is not None:
                self._perform(self._machine.appear(trio.current_time(), self._behavior.role))
        self._perform(self._machine.set_members(trio.current_time(), members, silent, margin))

    def receive(self, sender: int, word: moving.Word) -> None:
        """Another node says something."""
        self._perform(self._machine.receive(trio.current_time(), sender, word))

    @property
    def empty(self) -> bool:
        """Whether its actor does not run here."""
        return self._instance is None or self._instance.ended

    async def wait_empty(self) -> None:
        """Wait until it is."""
        while not self.empty:
            await self._changed.wait()

    async def wait_handed_on(self) -> None:
        """Wait until what its actor has left has gone to the next one."""
        while self._left:
            await self._changed.wait()

    def let_go(self, reason: str | None = None) -> None:
        """This start of the node may not run it any more; with a reason, it does not reach it any more either."""
        self._wanted, self._goes = False, True
        if reason is not None:
            self._closed = reason
            self._refuse_held(reason)
        if not self.empty:
            self._target = None
            self._stop_instance(hurry=True)
        elif self._keeper is not None:
            self._keeper.let_go()

    def wake(self) -> None:
        """Some time has passed."""
        self._alarm = None
        if self.system.running:
            self._perform(self._machine.tick(trio.current_time()))

    # --- Mail ---------------------------------------------------------------------------------------------------------

    def deliver(self, message: Any, slot: ReplySlot | None) -> None:
        """Take a message to the singleton, or hold it until somebody runs that."""
        if self.system.check_serialization:
            message = self.system.checked.copy(message)
        target = self._target
        if target is None:
            self._hold(message if slot is None else Asked(message, slot))
        elif slot is None:
            target.tell(message)
        else:
            target.tell_asked(message, slot)

    def take_over(self, message: Any, slot: ReplySlot | None) -> None:
        """Take what an actor that moves has left on another node. It goes ahead of what is held here, and on with the actor
        when that does not come here after all.
        """
        if self._target is not None or self._closed is not None:
            self.deliver(message, slot)
        else:
            self._left.append(message if slot is None else Asked(message, slot))

    async def send(self, message: Any) -> None:
        """As `deliver`, but wait for room where the actor is."""
        if self.system.check_serialization:
            message = self.system.checked.copy(message)
        if self._target is None:
            await trio.lowlevel.checkpoint()
            self._hold(message)
        else:
            await self._target.send(message)

    def keep(self, item: object) -> None:
        """The actor, which goes, has not handled this."""
        message = item.message if type(item) is Asked else item
        if type(message) is Adapted:  # only the actor that made the adapter could
            raw = message.message
            self._refuse(Asked(raw, item.slot) if type(item) is Asked else raw, "it came through an adapter, and has moved")
        else:
            self._left.append(item)

    def _hold(self, item: Any) -> None:
        most = self.system.all_settings.singletons.buffer
        if self._closed is not None:
            self._refuse(item, self._closed)
            return
        self._held.append(item)
        if len(self._held) > most:
            why = f"nobody runs {self.name} just now, and {most} messages wait: the oldest goes"
            self._refuse(self._held.popleft(), why, MailboxFullError)

    def _refuse_held(self, reason: str) -> None:
        self._target = None
        left, self._left = self._left, []
        self._held.extendleft(reversed(left))
        while self._held:
            self._refuse(self._held.popleft(), reason)

    def _send_held(self) -> None:
        while self._held and self._target is not None:
            self._put(self._target, self._held.popleft())

    def _put(self, target: AskableRef[Any], item: Any) -> None:
        try:
            if type(item) is not Asked:
                target.tell(item)
            elif not item.slot.closed:
                target.tell_asked(item.message, item.slot)
        except EncodeError as error:  # who has sent it is not here to be told
            self._refuse(item, str(error))
        except MailboxFullError:  # a mailbox that rejects has made it a dead letter
            pass

    def _refuse(self, item: Any, reason: str, error: type[AskError] = ActorStoppedError) -> None:
        message = item
        if type(item) is Asked:
            message = item.message
            item.slot.fail(error(reason))
        self.system.dead_letter(message, self._cell.ref if self._cell is not None else self.system.dead_letters, reason)

    # --- What the machine wants ---------------------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect]) -> None:
        self._effects.extend(effects)
        if not self._performing:  # what comes of doing one comes after those before it
            self._performing = True
            try:
                while self._effects:
                    self._do(self._effects.popleft())
            finally:
                self._performing = False
        self._arm()
        self._poke()

    def _poke(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Say(uid, word):
                self._singletons.say(uid, word)
            case Start():
                self._wanted, self._goes = True, False
                self._start()
            case Stop(hurry):
                self._wanted, self._goes = False, True
                self._stop_instance(hurry=hurry)
            case Route(uid):
                self._route(uid)
            case HandOn(uid):
                left, self._left = self._left, []
                there: Any = self._singletons.ref_at(uid, f"{self.name}/{LEFT}") if left else None
                for item in left:
                    self._put(there, item)

    def _route(self, uid: int) -> None:
        if self._closed is not None:
            return
        if uid == self.system.uid:
            self._target = None if self._instance is None else self._instance.ref
        else:
            there: Any = self._singletons.ref_at(uid, self.name) if uid else None
            self._target = there
        if self._target is not None:
            left, self._left = self._left, []
            self._held.extendleft(reversed(left))
            self._send_held()

    def _start(self) -> None:
        """Start the actor; not before the last one has ended."""
        cell, behavior = self._cell, self._behavior
        if not self._wanted or (self._instance is not None and not self._instance.ended):
            return
        if cell is None or behavior is None or cell.stopping:
            return
        if behavior.lease is not None and not self._has_lease(behavior.lease):
            return
        self._wanted = False
        family = cell.family()
        instance = InstanceCell(self.system, family, "instance", behavior.behavior, self._mailbox)
        instance.host = instance.place = self
        instance.keeps = False
        self._instance = instance
        family.add(instance)
        if self._machine.phase is Phase.HOSTING:  # it goes on, where the lease was lost
            self._route(self.system.uid)
        self._perform(self._machine.started(trio.current_time()))

    def _stop_instance(self, *, hurry: bool) -> None:
        instance, behavior = self._instance, self._behavior
        if instance is None or instance.ended or behavior is None:
            self.instance_ended()
            return
        if hurry:
            instance.keeps = False
            instance.stop(min(HURRY, self.system.settings.grace))
        elif not instance.keeps:
            instance.keeps = True
            finish = Finish() if behavior.stop_message is None else Finish(behavior.stop_message)
            if behavior.stop_message is not None:
                self._limit = Limit(instance, finish, self.system.all_settings.singletons.stop_timeout)
            instance.ref.put(finish)

    def instance_ended(self) -> None:
        """The actor has ended, be it by itself."""
        if self._limit is not None:
            self._limit.closed = True
            self._limit = None
        if self._goes and self._keeper is not None:
            self._keeper.let_go()  # who is next may have it at once
        else:
            self._has_stopped()

    def _has_stopped(self) -> None:
        if self._machine.phase is Phase.STOPPING:  # all have said that nothing is on the way: it goes ahead of what comes
            self._left.extend(self._held)
            self._held.clear()
        self._perform(self._machine.stopped(trio.current_time()))  # which is nothing to it if it was not to stop
        self._start()

    # --- The lease ----------------------------------------------------------------------------------------------------

    def _has_lease(self, lease: Lease) -> bool:
        """Whether the lease is had; if not it is asked for, and the actor starts when it is."""
        if self._keeper is None and self.system.running:
            self._keeper = Keeper(self, lease)
        return self._keeper is not None and self._keeper.held

    @property
    def in_doubt(self) -> bool:
        """Whether the actor has to stand still: this node may be no member any more, or may have lost the lease."""
        return self.system.in_doubt or (self._keeper is not None and not self._keeper.held)

    async def sure(self) -> None:
        """Wait until the actor may go on, or is told to stop."""
        await self.system.sure()
        while self.in_doubt and self._instance is not None and not self._instance.stopping:
            await self._changed.wait()

    def lease_held(self) -> None:
        """The actor may run, if it is to."""
        self._poke()
        self._start()

    def lease_lost(self) -> None:
        """It must not any more: stop it at once; it starts again when the lease is had, and gets what is held by then."""
        instance = self._instance
        if instance is None or instance.ended:
            return
        if self._machine.phase in (Phase.HOSTING, Phase.HOLDING):
            instance.keeps = True
        if self._machine.phase is Phase.HOSTING:
            self._target, self._wanted = None, True
        instance.stop(min(HURRY, self.system.settings.grace))
        self._poke()

    def lease_over(self) -> None:
        """The lease was given back, or could not be in time."""
        self._keeper = None
        self._poke()
        if self.empty:
            self._has_stopped()

    async def wait_released(self) -> None:
        """Wait until the lease is given back, if there is one."""
        while self._keeper is not None:
            await self._changed.wait()

    def _arm(self) -> None:
        due = self._machine.next_wakeup
        if self._alarm is not None and self._alarm.deadline <= due:
            return
        if self._alarm is not None:
            self._alarm.closed = True
        self._alarm = Due(due, self.wake) if due < math.inf else None
        if self._alarm is not None:
            self.system.watch_deadline(self._alarm)
