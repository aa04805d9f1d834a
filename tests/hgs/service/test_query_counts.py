"""The database is asked little for an attestation, however much HGS trusts and however long it has run."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hgs.attestation.ci_policy import build_ci_policy
from hgs.models import Attestation
from tests.hgs.service.conftest import Trusting
from tests.hgs.service.hosts import Host

pytestmark = pytest.mark.django_db
FIRST_ROUND = 2
SECOND_ROUND = 8
"""Reads and writes of a passed attestation with its audit event, transaction control not counted."""
CONTROL = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")


def statements(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        act()
    return [query["sql"] for query in captured if not query["sql"].startswith(CONTROL)]


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting happens now and then; here it does not."""
    for module in ("attest", "verdicts"):
        monkeypatch.setattr(f"hgs.commands.{module}.SWEEP_ONE_IN", 2**130)


def test_an_attestation_takes_few_statements(client: Client, fabric: Trusting, hv01: Host, unswept: None) -> None:
    hv01.attest(client)
    first = statements(lambda: hv01.begin(client))
    assert len(first) <= FIRST_ROUND, first
    second = hv01.second(client)
    finished = statements(lambda: hv01.send(client, second))
    assert len(finished) <= SECOND_ROUND, "\n".join(finished)


def test_their_number_does_not_grow_with_what_there_is(
    client: Client, fabric: Trusting, hv01: Host, hv02: Host, unswept: None
) -> None:
    hv01.attest(client)
    second = hv01.second(client)
    before = statements(lambda: hv01.send(client, second))
    for number in range(5):
        fabric("ci-policy", f"policy {number}", build_ci_policy(f"policy {number}"))
    fabric("host", "hv02", hv02.identity_file)
    for _ in range(5):
        hv02.attest(client)
        hv01.attest(client)
    third = hv01.second(client)
    assert len(statements(lambda: hv01.send(client, third))) == len(before)
    assert Attestation.objects.count() == 13
