"""The audit chain shows where somebody changed or removed an event."""

import pytest

from portal.kernel import audit
from portal.kernel.actor import system_actor
from portal.kernel.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def three_events() -> None:
    for number in range(3):
        audit.record(
            system_actor("test"),
            "vm:created",
            target_type="vm",
            target_id=number,
            summary=f"Created {number}",
            data={"n": number, "ä": [1, 2]},
        )


@pytest.mark.usefixtures("three_events")
def test_a_whole_chain_verifies() -> None:
    assert audit.verify_chain() is None
    assert list(AuditEvent.objects.values_list("sequence", flat=True)) == [3, 2, 1]


@pytest.mark.usefixtures("three_events")
def test_a_changed_event_is_named() -> None:
    AuditEvent.objects.filter(sequence=2).update(summary="something else")
    assert audit.verify_chain() == 2


@pytest.mark.usefixtures("three_events")
def test_a_removed_event_is_named() -> None:
    AuditEvent.objects.filter(sequence=2).delete()
    assert audit.verify_chain() == 2
