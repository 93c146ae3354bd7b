"""Which nodes a client dials, and in which order."""

from casty_trio.client.contacts import Contacts
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.member import Member, MemberStatus


def member(number: int, status: MemberStatus = MemberStatus.UP) -> Member:
    return Member(number, f"node-{number}", 25_520, f"n{number}", (), status)


def cluster(*members: Member, silent: tuple[Member, ...] = ()) -> TopologySnapshot:
    return TopologySnapshot(members, members[0] if members else None, silent)


def test_what_was_given_stays_and_comes_last() -> None:
    """K3: what the cluster names comes first, and each stands there once."""
    contacts = Contacts((("seed", 1), ("node-1", 25_520)), 7, 3)
    assert list(contacts.points) == [("seed", 1), ("node-1", 25_520)]
    contacts.learn(cluster(member(1), member(2)))
    assert set(contacts.points[:2]) == {("node-1", 25_520), ("node-2", 25_520)}
    assert list(contacts.points[2:]) == [("seed", 1)]
    contacts.learn(cluster())
    assert len(contacts.points) == 3
    contacts.discovered([("found", 2)])
    assert list(contacts.points[2:]) == [("found", 2), ("seed", 1)]
    contacts.discovered([("other", 3)])
    assert list(contacts.points[2:]) == [("other", 3), ("seed", 1)]


def test_who_leaves_or_cannot_be_reached_is_no_contact_point() -> None:
    """K3: a client that is sent away does not come back."""
    contacts = Contacts((("seed", 1),), 7, 9)
    leaving, silent = member(2, MemberStatus.LEAVING), member(3)
    contacts.learn(cluster(member(1), leaving, silent, member(4, MemberStatus.WEAKLY_UP), silent=(silent,)))
    assert set(contacts.points) == {("seed", 1), ("node-1", 25_520), ("node-4", 25_520)}


def test_a_few_of_many_and_the_same_each_time() -> None:
    """Each client has its own few, all nodes have some, and another member changes few of them."""
    everybody = [member(number) for number in range(1, 11)]
    chosen = dict[tuple[str, int], int]()
    moved = 0
    for uid in range(300):
        contacts = Contacts((), uid, 3)
        contacts.learn(cluster(*everybody))
        first = contacts.points
        assert len(first) == 3
        contacts.learn(cluster(*reversed(everybody)))
        assert contacts.points == first
        chosen[first[0]] = chosen.get(first[0], 0) + 1
        contacts.learn(cluster(*everybody, member(11)))
        moved += len(set(first) - set(contacts.points))
    assert len(chosen) == 10
    assert max(chosen.values()) < 60
    assert moved < 300 * 3 / 4


def test_where_dialling_failed_comes_last() -> None:
    contacts = Contacts((("a", 1), ("b", 1), ("c", 1)), 7, 3)
    contacts.failed(("a", 1))
    assert contacts.candidates() == (("b", 1), ("c", 1), ("a", 1))
    contacts.failed(("b", 1))
    contacts.failed(("b", 1))
    assert contacts.candidates() == (("c", 1), ("a", 1), ("b", 1))
    contacts.worked(("b", 1))
    assert contacts.candidates() == (("b", 1), ("c", 1), ("a", 1))
    assert contacts.points == (("a", 1), ("b", 1), ("c", 1))
