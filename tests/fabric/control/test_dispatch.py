"""Messages leave once, after the commit, and survive a broker that is away."""

from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from fabric.dispatch import KEPT_FOR, enqueue, send_waiting
from fabric.models import OutgoingMessage
from tests.cast import Cast


def test_what_is_rolled_back_is_never_sent(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    with (
        patch("fabric.dispatch._send") as send,
        django_capture_on_commit_callbacks(execute=True),
        transaction.atomic(),
    ):
        enqueue("fabric.place_vm", {})
        transaction.set_rollback(True)
    assert not send.called
    assert not OutgoingMessage.objects.exists()


def test_a_message_that_left_is_forgotten(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    with patch("fabric.dispatch._send") as send, django_capture_on_commit_callbacks(execute=True):
        enqueue("fabric.place_vm", {"job_id": "1"})
    assert send.call_count == 1
    assert not OutgoingMessage.objects.exists()


def test_while_the_broker_is_away_nothing_is_lost_and_nobody_sees_a_fault(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    with (
        patch("fabric.dispatch._send", side_effect=OperationalError("refused")),
        django_capture_on_commit_callbacks(execute=True),
    ):
        enqueue("fabric.place_vm", {"job_id": "1"})
    later = timezone.now() + timedelta(seconds=10)
    with patch("fabric.dispatch._send", side_effect=OperationalError("refused")):
        assert send_waiting(later) == 0
    with patch("fabric.dispatch._send") as send:
        assert send_waiting(later) == 1
        assert send_waiting(later) == 0
    assert send.call_args.args == ("fabric.place_vm", {"job_id": "1"}, "fabric", 0)


def test_what_is_too_old_is_dropped(cast: Cast) -> None:
    enqueue("fabric.place_vm", {})
    with patch("fabric.dispatch._send") as send:
        assert send_waiting(timezone.now() + KEPT_FOR + timedelta(seconds=1)) == 0
    assert not send.called
    assert not OutgoingMessage.objects.exists()
