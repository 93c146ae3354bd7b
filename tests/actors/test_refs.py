"""Refs are values; they stay usable when their actor is gone."""

import copy
import pickle
from dataclasses import asdict
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import ActorAddress, ActorSystem, DeadLetter, Mailbox
from tests.actors.helpers import Get, assert_adds_up, counter, recorder


@pytest.mark.parametrize("mailbox", [None, Mailbox(5)])
async def test_refs_are_values(mailbox: Mailbox | None) -> None:
    """L9: equal, and with one hash, when they name the same incarnation; another one after a new spawn."""
    async with ActorSystem("shop") as system, ActorSystem("shop") as other:
        ref = system.spawn(counter(), "cart", mailbox=mailbox)
        same = system.lookup("/cart")
        stranger = other.spawn(counter(), "cart", mailbox=mailbox)
        assert ref == same
        assert len({ref, same}) == 1
        assert ref != stranger
        assert ref != "/cart"
        assert ref.path == "/cart"
        assert repr(ref).endswith("Ref /cart>")
        assert ref.address == ActorAddress("shop", "/cart", None, None, system.uid, ref.address.incarnation)
        assert ref.address.uri == "casty://shop/cart"
        await system.stop(ref)
        assert ref == same
        again = system.spawn(counter(), "cart", mailbox=mailbox)
        assert again != ref
        assert {ref, again} == {again, ref}
        assert len({ref, again}) == 2


async def test_dead_letters_have_an_address() -> None:
    """L4: what is told to it is published, from `tell` and `send`."""
    letters: list[Any] = []
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        system.dead_letters.tell(1)
        await system.dead_letters.send(2)
        await wait_all_tasks_blocked()
        assert [letter.message for letter in letters] == [1, 2]
        assert {letter.recipient for letter in letters} == {system.dead_letters}
        assert (system.statistics().dead_letters, system.statistics().dead) == (2, 0)


async def test_refs_are_not_pickled() -> None:
    """A live ref is no plain data: pickling one fails where it is tried, and says what to do instead."""
    async with ActorSystem() as system:
        ref = system.spawn(counter(), "cart")
        for each in (ref, system.dead_letters):
            with pytest.raises(TypeError, match=r"Ref /.* cannot be pickled: .* travels in a message"):
                pickle.dumps(each)


@pytest.mark.parametrize("mailbox", [None, Mailbox(5)])
async def test_a_copy_of_a_ref_is_the_ref(mailbox: Mailbox | None) -> None:
    """L4: what is told to it counts as the actor's mail; `dataclasses.asdict` copies all that is in a message."""
    async with ActorSystem() as system:
        ref = system.spawn(counter(), mailbox=mailbox)
        copies: list[Any] = [copy.copy(ref), copy.deepcopy(ref), asdict(Get(ref))["reply_to"]]
        for each in copies:
            assert each is ref
            each.tell(1)
        total: int = await system.ask(ref, Get)
        assert total == 3
        assert_adds_up(system.statistics())


async def test_tasks_are_named_after_actors() -> None:
    """Task names are paths, for whoever looks at a hanging program."""
    async with ActorSystem() as system:
        system.spawn(counter(), "named")
        await wait_all_tasks_blocked()
        task = trio.lowlevel.current_root_task()
        assert task is not None
        names, todo = set[str](), [task]
        while todo:
            task = todo.pop()
            names.add(task.name)
            for nursery in task.child_nurseries:
                todo.extend(nursery.child_tasks)
        assert "/named" in names
