"""A node as a member of a cluster: what programs see of it, and how its life there begins and ends. Floor F4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Self, TypeAlias

import trio

from casty_trio.cluster.barriers import BarrierService
from casty_trio.cluster.changes import present
from casty_trio.cluster.service import ClusterService, ClusterSetup
from casty_trio.errors import HandshakeError, NodeDownedError, SystemClosedError, UsageError, WaitTimeoutError
from casty_trio.model.address import check_name
from casty_trio.model.checks import check_addresses, check_choice, check_count, check_instance, check_seconds
from casty_trio.model.cluster_events import ClusterEvent, ClusterState
from casty_trio.model.events import Event
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.statistics import MembershipStatistics
from casty_trio.protocol.downing import DowningStrategy
from casty_trio.protocol.effects import Ended
from casty_trio.protocol.frames import Kind
from casty_trio.remote import Peer, RemoteNode

__all__ = ["Discovery", "MemberNode", "SeedNodes", "check_membership"]

Address: TypeAlias = tuple[str, int]
Discovery: TypeAlias = Callable[[], Awaitable[Iterable[Address]]]
SeedNodes: TypeAlias = Iterable[Address] | Discovery

DISCOVERY_INTERVAL: Final = 5.0
"""How often the program is asked where the seeds are, in seconds, if it is to be asked."""

ANEW: Final = "{} was declared down, and starts anew"

FREE_WITHIN: Final = 5.0
"""A node that joins again waits no longer for what it has hosted to end, in seconds: more than anything there is given."""


class MemberNode(RemoteNode):
    """The half of a clustered system that is a member; see `ClusteredActorSystem` for the parameters."""

    def _prepare_membership(
        self, setup: ClusterSetup, discovery: Discovery | None, required_quorum: int | None, on_downed: str
    ) -> None:
        """Say, before the block is entered, how this node is to be a member."""
        self._setup = setup
        self._discovery = discovery
        self._required_quorum = required_quorum
        self._on_downed = on_downed
        self._ended: Ended | None = None
        self._handed_over = False
        self._service: ClusterService = ClusterService(self, setup, self._on_ended)
        self._barriers: BarrierService = BarrierService(self)
        self.handlers[Kind.MEMBERSHIP] = self.handlers[Kind.VIEW] = self._service.on_frame
        self.handlers[Kind.BARRIER] = self._barriers.on_frame
        self.event_stream.present = self._present
        self.shutdown.does("drain", self._hand_over_at_end, limited=False)
        self.shutdown.does("leave", self._leave_at_end)

    async def wait_for(self, n: int, *, timeout: float = 60.0) -> None:
        """Wait until ``n`` members of the cluster are up, in a view that all of them share: it can be used at once.

        Parameters:
            n: how many, this node included.
            timeout: how long to wait, in seconds.

        Raises:
            WaitTimeoutError: there were fewer by then, or they did not agree.
            NodeDownedError: this node was declared down, or is meanwhile.
            SystemClosedError: it has left the cluster, or does meanwhile, or is used outside its block.
            SettingsError: ``n`` is no number from 1, or the timeout is negative or no number.
        """
        check_count("n", n, 1)
        check_seconds("timeout", timeout)
        self._check_open()
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(timeout):
            while not self._are_up(n):
                if self._ended is not None:
                    raise self._end_error(self._ended)
                await self._service.changed.wait()
            return
        up = sum(member.status == MemberStatus.UP for member in self.members)
        raise WaitTimeoutError(f"{self.name}: {up} of {n} members {'is' if up == 1 else 'are'} up after {timeout:g} s")

    def _are_up(self, n: int) -> bool:
        state = self.cluster_state
        up = [member for member in state.members if member.status == MemberStatus.UP]
        return state.converged and len(up) >= n and any(member.uid == self.uid for member in up)

    async def barrier(self, name: str, n: int, *, timeout: float = 60.0) -> None:
        """Wait at a barrier until ``n`` parties have come to it, anywhere in the cluster; then all of them go on.

        A party is one such call; a node may have several. A barrier needs no setting up and can be used again and again: the
        next ``n`` to come are the next round. All parties of a round go on, or none: also when nodes crash or leave
        meanwhile, be it those that count. A party whose node was removed from the cluster is counted no longer, and so is
        one that was cancelled or has given up.

        Parameters:
            name: which barrier; a name that an actor could have.
            n: how many parties; the same for all that wait.
            timeout: after how long to give up, in seconds; ``math.inf`` waits as long as the caller does. When the round is
                being decided by then, the party has a part in it, and waits for the outcome: usually for moments, and if a
                node has just crashed, until it is known to be gone.

        Raises:
            WaitTimeoutError: fewer came by then.
            BarrierCountError: others wait there already, for another number.
            NodeDownedError: this node was declared down meanwhile.
            SystemClosedError: it has left the cluster, or is used outside its block.
            SettingsError: ``n`` is no number from 1, or the timeout is negative or no number.
            InvalidNameError: no actor could have the name.

        Example:
            >>> # await system.barrier("loaded", 3)  # on each of three nodes: nobody goes on before all have loaded
        """
        self._check_open()
        check_name(name, "barrier")
        check_count("n", n, 1)
        check_seconds("timeout", timeout)
        await self._barriers.wait(name, n, timeout)

    # --- Membership ---------------------------------------------------------------------------------------------------

    @property
    def cluster_state(self) -> ClusterState:
        """What this node knows of the cluster by now."""
        return self._service.state

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of the cluster, this node included, sorted by address; none before it is in one."""
        return self.cluster_state.members

    @property
    def leader(self) -> Member | None:
        """The member that acts for all; None while there is none."""
        return self.cluster_state.leader

    @property
    def self_node(self) -> Member:
        """This node as a member; as it wants to be one, before it is."""
        for member in self.members:
            if member.uid == self.uid:
                return member
        return Member(self.uid, *self.reached_at, self.node_id, self._setup.roles)

    @property
    def observations(self) -> tuple[tuple[int, int], ...]:
        """Who cannot reach whom, by the uids of both, sorted: what `ClusterState.unreachable` comes from."""
        return self._service.observations()

    @property
    def in_doubt(self) -> bool:
        """Whether this node may have been removed, for it was late or finds others silent: what it hosts stands still until
        `sure`."""
        return self._service.in_doubt

    async def sure(self) -> None:
        """Wait until it is known whether this node is still a member."""
        await self._service.sure()

    @property
    def downed(self) -> bool:
        """Whether this start of the node was declared down, and its block ends for that."""
        return self._ended is not None and not self._ended.left

    def place_of(self, uid: int) -> tuple[str, int] | None:
        return next((member.address for member in self.members if member.uid == uid), None)

    def takes_clients(self, member: Member) -> bool:
        """Whether clients may connect to a node."""
        return self.all_settings.receptionist.role in ("", *member.roles)

    def refusal_of_clients(self) -> HandshakeError | None:
        if self.takes_clients(self.self_node):
            return None
        role = self.all_settings.receptionist.role
        return HandshakeError("receptionist", f"{self.node_id} takes no clients: connect to a node with the role {role!r}")

    @property
    def joins_another(self) -> bool:
        """Whether this node, which was a cluster of its own, is about to join another one, without an end in between."""
        return not self.members and not self._service.over

    @property
    def has_left(self) -> bool:
        """Whether this node has left its cluster, though its block goes on."""
        return self._ended is not None and self._ended.left

    def membership_statistics(self) -> MembershipStatistics:
        """Count what the members have agreed on, and what was said for it.

        Raises:
            SystemClosedError: the block was not entered yet.
        """
        self._check_open()
        return self._service.statistics()

    @property
    def place(self) -> int:
        """Where this node stands among the `members`, from 0; also 0 while it is none."""
        return next((place for place, member in enumerate(self.members) if member.uid == self.uid), 0)

    async def leave(self) -> None:
        """Leave the cluster, and wait until the others have agreed; the block goes on as a node of no cluster.

        Its shards go to others first, and so do its clients; it takes none after that. Leaving the block does the same by
        itself. Where a member cannot be reached and nobody declares it down, there is no agreement; a time limit of your own
        (``trio.move_on_after``) ends the wait.

        Raises:
            SystemClosedError: the block was not entered yet.
        """
        if self._ended is None:
            self._check_open()
            if not self._handed_over:
                await self._hand_all_over()
        if self._ended is None:
            self._service.leave()
        while self._ended is None:
            await self._service.changed.wait()
        await trio.lowlevel.checkpoint()

    def down(self, node: Member | str) -> None:
        """Declare a member down, for good: that start of it is never let in again.

        Parameters:
            node: the member, or its node id. This node, too; its block ends then, or it joins again, as ``on_downed`` says.

        Raises:
            UsageError: there is no such member.
        """
        wanted = node.uid if isinstance(node, Member) else node
        uids = [member.uid for member in self.members if wanted in (member.uid, member.node_id)]  # two starts, for a moment
        if not uids:
            raise UsageError(f"{node!s:.100} is no member: these are {', '.join(each.node_id for each in self.members)}")
        self._service.down(uids, f"{self.node_id} was told to declare it down")

    async def __aenter__(self) -> Self:
        """Listen, open the system, and look for the cluster.

        Raises:
            OSError: the address is taken, or not ours.
            WaitTimeoutError: ``required_quorum`` members were not up in time; the node has left again.
            SystemClosedError: it was entered before; make a new one.
        """
        await super().__aenter__()
        self._service.begin()
        self.start_service(self._service.run, "membership")
        self.start_service(self._barriers.run, "barriers")
        self._start_above()
        if self._discovery is not None:
            self.start_service(self._discover, "discovery")
        if self._required_quorum:
            try:
                await self.wait_for(self._required_quorum)
            except BaseException as error:
                await self.__aexit__(type(error), error, error.__traceback__)
                raise
        return self

    async def _hand_over_at_end(self) -> None:
        if self.running and self._ended is None:
            await self._hand_all_over()

    async def _hand_all_over(self) -> None:
        """Give what this node hosts to others, and then its clients."""
        await self.hand_over()
        await self.part_with_clients()
        self._handed_over = True

    def _start_above(self) -> None:
        """Start what stands on the cluster and runs all the time."""

    async def part_with_clients(self) -> None:
        """Have clients send what they have to others, as long as what they have sent here can be passed on."""

    async def _leave_at_end(self) -> None:
        """Leave first, so that others hear of it as long as everything works; in a hurry when the block is cancelled."""
        try:
            if self.running:
                await self.leave()
        finally:
            self._service.depart()

    async def _discover(self) -> None:
        """Ask the program where the seeds are, again and again."""
        assert self._discovery is not None, "else this does not run"
        while True:
            try:
                seeds = await self._discovery()
            except Exception as error:  # noqa: BLE001 - whatever the program's own function raises, it is asked again
                self.quiet.warning(("discovery",), "%s does not hear where the seeds are: %s", self.node_id, error)
            else:
                named = check_addresses("seed_nodes", seeds)
                if named:  # who is told of nobody knows no more than before
                    self._service.set_seeds(named)
            await trio.sleep(DISCOVERY_INTERVAL)

    def _on_ended(self, ended: Ended) -> None:
        """This start of the node is no member any more."""
        rejoins = ended.moves or self._on_downed == "rejoin"  # what makes room for a larger cluster is at fault with nothing
        if ended.left or not rejoins:
            self._ended = ended
        if ended.left:
            self.log.info("%s has left the cluster: %s", self.node_id, ended.why)
            self.gone()
            self._barriers.close(SystemClosedError(f"{self.node_id} has left the cluster: nobody comes to its barriers"))
        elif rejoins:
            self._start_anew(ended.why, moves=ended.moves)
        else:
            self.let_go()
            self._barriers.close(NodeDownedError(f"{self.node_id} is down: {ended.why}"))
            self.start_service(partial(self._fail, ended.why), "end")

    def _end_error(self, ended: Ended) -> Exception:
        """What ends whoever waits for the cluster when this node is no member any more."""
        if ended.left:
            return SystemClosedError(f"{self.node_id} has left the cluster: {ended.why}")
        return NodeDownedError(f"{self.node_id} is down: {ended.why}")

    async def _fail(self, why: str) -> None:
        await trio.lowlevel.checkpoint()
        self.stop_actors()
        raise NodeDownedError(f"{self.node_id} is down: {why}")

    def _start_anew(self, why: str, *, moves: bool) -> None:
        """Let go of everything the cluster has given this node, and join again as another start of it."""
        self.log.warning("%s %s, and joins again: %s", self.node_id, "makes room" if moves else "is down", why)
        self.let_go()
        self._barriers.close(NodeDownedError(f"{self.node_id} is down: {why}"))
        self.peers.let_go(ANEW.format(self.node_id))
        if self.hosts_nothing:
            self._join_again()
        else:
            self.start_service(self._join_when_free, "rejoin")

    async def _join_when_free(self) -> None:
        """What the last start hosted ends first: others host it as soon as they see the next one."""
        with trio.move_on_after(FREE_WITHIN):
            while not self.hosts_nothing:
                await self.freed()
        self.peers.let_go(f"{self.node_id} starts anew")  # connections that were made meanwhile were the last start's
        self._join_again()

    def _join_again(self) -> None:
        self.peers.let_go(ANEW.format(self.node_id))  # connections as who it was, made meanwhile
        self.take_new_uid()
        self._barriers.begin_anew()
        self._service.begin_anew()

    def peer_connected(self, peer: Peer) -> None:
        self._service.connected(peer.uid, (peer.host, peer.port))

    def refused_as_gone(self, peer: Peer) -> None:
        self._service.refused_as_gone(peer.host, peer.port)

    def member_removed(self, member: Member) -> None:
        """A member is none any more: whatever waits for that start of it waits in vain."""
        left = member.status in (MemberStatus.LEAVING, MemberStatus.EXITING)
        why = "it has left the cluster" if left else "it was removed from the cluster"
        self.peers.remove(member.host, member.port, member.uid, member.node_id, why)

    def let_go(self) -> None:
        """Give up everything the cluster has given this start of the node."""

    @property
    def hosts_nothing(self) -> bool:
        """Whether nothing runs here any more that other members would start when this one is gone."""
        return True

    async def freed(self) -> None:
        """Wait until that may have changed."""
        await trio.lowlevel.checkpoint()

    def gone(self) -> None:
        """The node has left the cluster."""

    async def hand_over(self) -> None:
        """Give to other members what they can take, before this one leaves."""

    def cluster_changed(self) -> None:
        """Something is new about the members: tell who listens."""
        state = self.cluster_state
        self._barriers.on_change(state)
        self.publish(ClusterState, state.members, state.leader, state.unreachable, state.converged, state.cluster)

    def _present(self, event_type: type[Event]) -> Iterable[Event]:
        """What who subscribes to a class of events hears first."""
        if not issubclass(event_type, ClusterEvent):
            return ()
        state = self.cluster_state
        now = [make(*fields) for make, fields in present(state)]
        return [event for event in (*now, state, *self._snapshots()) if isinstance(event, event_type)]

    def _snapshots(self) -> Iterable[Event]:
        """Further events that tell of the present."""
        return ()


def check_membership(quorum: object, downing: object, on_downed: object) -> None:
    """See that what a program asks of a node's membership can be meant."""
    if quorum is not None:
        check_count("required_quorum", quorum, 1)
    check_instance("downing", downing, DowningStrategy)
    check_choice("on_downed", on_downed, ("raise", "rejoin"))
