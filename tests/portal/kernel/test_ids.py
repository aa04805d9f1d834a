"""Identifiers that begin with the time."""

import time
import uuid

from portal.kernel.ids import new_ordered_id


def test_an_ordered_id_is_a_version_7_uuid_of_its_moment() -> None:
    before = time.time_ns() // 1_000_000
    made = new_ordered_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ordered_ids_of_one_moment_differ() -> None:
    assert len({new_ordered_id() for _ in range(1000)}) == 1000


def test_later_ids_sort_behind_earlier_ones() -> None:
    first = new_ordered_id()
    moment = first.int >> 80
    while time.time_ns() // 1_000_000 == moment:
        pass
    assert new_ordered_id() > first
