"""Proof that the tests hold: for many guarantees a patch that breaks it, and a test that must turn red.

| Guarantee | Patch | Test that turns red |
| --- | --- | --- |
| L1 | `L1.patch`: mail that was put aside comes back in the wrong order | `test_stash` |
| L2 | `L2.patch`: to resume is to begin again | `test_supervision` |
| L3 | `L3.patch`: a parent does not wait for its children | `test_leaving` |
| L4 | `L4.patch`: mail left at the end vanishes | `test_faults` |
| L5 | `L5.patch`: an ask does not hear of the failure | `test_supervision` |
| L6 | `L6.patch`: a notice on its way is heard after `unwatch` | `test_watch` |
| L7 | `L7.patch`: signals wait behind mail | `test_stop` |
| L8 | `L8.patch`: a strategy inside hooks is lost | `test_supervision` |
| L9 | `L9.patch`: a name is given twice | `test_faults` |
| L10 | `L10.patch`: a restart does not wait for the children | `test_lifecycle` |
| L11 | `L11.patch`: nobody hears of an escalation | `test_faults` |
| L12 | `L12.patch`: the body's exception leaves in a group | `test_leaving` |
| L13 | `L13.patch`: timers survive a restart | `test_timers` |
| L13 | `L13-end.patch`: timers survive the end of their actor | `test_timers` |
| L13 | `L13-tasks.patch`: background tasks are not ended | `test_background` |
| L13 | `L13-names.patch`: two actors' timers of one name meet | `test_timers` |
| L14 | `L14.patch`, `L14-setting.patch`: an event is not emitted, a setting not read | `test_promises` |
| W3 | `W3-secret.patch`: any proof will do | `test_secret` |
| W3 | `W3-side.patch`: a proof does not say whose it is | `test_secret` |
| W3 | `W3-certificate.patch`: a certificate is for everybody | `test_matrix` |
| W3 | `W3-tls.patch`: a peer need not show a certificate | `test_matrix` |
| W5 | `W5.patch`: what was queued on a connection that broke goes out behind newer mail | `test_peers_order` |
| W5 | `W5-leftovers.patch`: a connection that was replaced is still heard | `test_peers_order` |
| W6 | `W6.patch`: any number of messages may wait for a connection | `test_peers_life` |
| W7 | `W7.patch`: of two dials at once both are let in | `test_peers_order` |
| W8 | `W8.patch`: a message for an actor that has ended goes to whoever has its name now | `test_peers` |
| S1 | `S1.patch`: a region does what any coordinator of any term says | `test_homing` |
| S1 | `S1-takeover.patch`: a new coordinator does not wait until it has heard from all | `test_coordinator` |
| S1 | `S1-late.patch`: a node that wakes late goes on at once, though it may have been removed | `test_pauses` |
| S1 | `S1-leave.patch`: what has stopped on a node that leaves may start there again | `test_moves` |
| S2 | `S2.patch`: a shard moves while messages for it are still on the way to its owner | `test_homing` |
| S2 | `S2-left.patch`: what the old owner has sent ahead is not handled | `test_moves` |
| S3 | `S3.patch`: a shard waits for ever for a host that is gone | `test_coordinator` |
| S3 | `S3-daemons.patch`: who is given a shard does not start its worker | `test_daemons` |
| S4 | `S4.patch`: shards move to make no difference | `test_allocation` |
| S4 | `S4-view.patch`: shards move while a member cannot be reached | `test_coordinator` |
| S5 | `S5.patch`: one coordinator hears what is meant for all types | `test_entities` |
| S5 | `S5-shape.patch`: nodes may have a type with different numbers of shards | `test_homing` |
| S8 | `S8.patch`: who claims a singleton does not wait for those that may have it | `test_singletons`, in a simulation |
| S8 | `S8-late.patch`: a node that wakes late goes on with a singleton at once | `test_singleton` |
| S8 | `S8-order.patch`: what is on its way to the old host may be overtaken | `test_singleton` |
| S8 | `S8-lease.patch`: a lease that nobody renews is never lost | `test_leases` |
| C8 | `C8.patch`: who leaves keeps its shards to the end | `test_nodes` |

`python -m tests.mutants` (or `nox -s mutants`) shows it. A patch that does not apply any more is remade: edit a copy of the
package, and keep the `diff -u` of the one line.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MUTANTS", "Mutant"]


class Mutant(NamedTuple):
    """One way to break a guarantee.

    Attributes:
        guarantee: which.
        patch: the file here.
        test: the id of the test that turns red.
    """

    guarantee: str
    patch: str
    test: str


def _mutant(name: str, test: str, folder: str = "actors") -> Mutant:
    return Mutant(name.partition("-")[0], f"{name}.patch", f"tests/{folder}/{test}")


MUTANTS = [
    _mutant("L1", "test_stash.py::test_they_come_back_in_order_ahead_of_newer_mail"),
    _mutant("L2", "test_supervision.py::test_resume_goes_on_with_the_state_before_the_message"),
    _mutant("L3", "test_leaving.py::test_children_end_before_their_parent"),
    _mutant("L4", "test_faults.py::test_fault_mail_left_at_stop"),
    _mutant("L5", "test_supervision.py::test_an_ask_on_the_failing_message_fails_at_once"),
    _mutant("L6", "test_watch.py::test_unwatch_is_the_end_of_it"),
    _mutant("L7", "test_stop.py::test_stop_goes_ahead_of_queued_mail"),
    _mutant("L8", "test_supervision.py::test_the_order_of_wrappers_does_not_matter"),
    _mutant("L9", "test_faults.py::test_fault_duplicate_names"),
    _mutant("L10", "test_lifecycle.py::test_a_restart_waits_for_the_children_however_slow_their_hooks"),
    _mutant("L11", "test_faults.py::test_fault_escalation_that_nobody_hears"),
    _mutant("L12", "test_leaving.py::test_what_failed_beside_is_a_note"),
    _mutant("L13", "test_timers.py::test_timers_end_with_the_actor_and_its_restart"),
    _mutant("L13-end", "test_timers.py::test_timers_end_with_the_actor_and_its_restart"),
    _mutant("L13-tasks", "test_background.py::test_a_task_ends_in_time"),
    _mutant("L13-names", "test_timers.py::test_two_actors_timers_never_meet"),
    _mutant("L14", "test_promises.py::test_every_event_is_emitted"),
    _mutant("L14-setting", "test_promises.py::test_every_setting_is_read"),
    _mutant("W3-secret", "test_secret.py::test_a_wrong_or_missing_secret_is_refused_by_name_on_both_sides", "protocol"),
    _mutant("W3-side", "test_secret.py::test_a_proof_sent_back_is_none", "protocol"),
    _mutant("W3-certificate", "test_matrix.py::test_the_matrix", "tls"),
    _mutant("W3-tls", "test_matrix.py::test_the_matrix", "tls"),
    _mutant("W5", "test_peers_order.py::test_what_was_queued_goes_ahead_of_what_came_after_the_end", "remote"),
    _mutant("W5-leftovers", "test_peers_order.py::test_what_a_replaced_connection_brings_is_not_heard", "remote"),
    _mutant("W6", "test_peers_life.py::test_a_queue_is_bounded", "remote"),
    _mutant("W7", "test_peers_order.py::test_two_nodes_that_dial_each_other_at_once", "remote"),
    _mutant("W8", "test_peers.py::test_a_ref_to_an_old_incarnation", "remote"),
    _mutant("S1", "test_homing.py::test_a_region_obeys_the_highest_term_only", "protocol"),
    _mutant("S1-takeover", "test_coordinator.py::test_nothing_is_decided_before_all_members_were_heard", "protocol"),
    _mutant("S1-late", "test_pauses.py::test_a_node_that_wakes_when_it_was_removed_handles_nothing", "sharding"),
    _mutant("S1-leave", "test_moves.py::test_what_has_stopped_on_a_node_that_leaves_starts_there_no_more", "sharding"),
    _mutant("S2", "test_homing.py::test_a_move_that_is_called_off_at_each_step", "protocol"),
    _mutant("S2-left", "test_moves.py::test_what_a_deadline_leaves_goes_ahead_in_order", "sharding"),
    _mutant("S3", "test_coordinator.py::test_a_target_that_goes_before_it_has_begun", "protocol"),
    _mutant("S3-daemons", "test_daemons.py::test_a_crash", "sharding"),
    _mutant("S4", "test_allocation.py::test_sixty_four_shards_on_three_nodes_stop_moving", "model"),
    _mutant("S4-view", "test_coordinator.py::test_nothing_moves_while_somebody_cannot_be_reached", "protocol"),
    _mutant("S5", "test_entities.py::test_two_types_do_not_disturb_each_other", "sharding"),
    _mutant("S5-shape", "test_homing.py::test_another_shape_is_refused_until_nobody_has_the_type", "protocol"),
    _mutant("S8", "test_singletons.py::test_one_singleton_from_the_beginning_on", "testing"),
    _mutant("S8-late", "test_singleton.py::test_a_node_that_wakes_when_it_was_removed_handles_nothing", "singleton"),
    _mutant("S8-order", "test_singleton.py::test_what_is_still_on_the_way_stays_in_order", "singleton"),
    _mutant("S8-lease", "test_leases.py::test_a_store_that_is_away", "singleton"),
    _mutant("C8", "test_nodes.py::test_planned_changes_lose_nothing", "sharding"),
]
