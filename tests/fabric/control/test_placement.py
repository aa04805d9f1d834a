"""Which host gets a VM, and what is said where none does."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fabric.commands import placements
from fabric.commands.networks import create_network
from fabric.models import Host, Placement
from fabric.placement import Chosen, NoHost, choose_host
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.ids import new_id
from tests.cast import Cast, make_host


def place(cast: Cast, host: Host | None = None, vcpus: int = 1, memory_mib: int = 512) -> Placement:
    placement = placements.reserve(
        new_id(), name="vm", owner="contoso", template=cast.template, shielding_data=cast.shielding_data.blob,
        network=cast.network, vcpus=vcpus, memory_mib=memory_mib, specialization={},
    )  # fmt: skip
    Placement.objects.filter(pk=placement.pk).update(host=host)
    return placement


def test_the_host_with_the_fewest_vms_is_chosen(cast: Cast) -> None:
    busy, idle = make_host("hv01"), make_host("hv02")
    place(cast, busy)
    assert choose_host(1, 512, timezone.now()) == Chosen(idle)


def test_equal_hosts_are_taken_by_name(cast: Cast) -> None:
    make_host("hv02")
    first = make_host("hv01")
    assert choose_host(1, 512, timezone.now()) == Chosen(first)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"passed": None}, "it has not attested"),
        ({"passed": False}, "HGS refused its attestation"),
        ({"last_report": {"status": "NotConfigured"}}, "it is in local mode, in which nothing protects a VM"),
        ({"certificate_not_after": timedelta(seconds=-1)}, "its health certificate has ended"),
        ({"certificate_not_after": timedelta(minutes=1)}, "its health certificate is about to end"),
        ({"last_report_at": None}, "it has never reported"),
        ({"last_report_at": timedelta(seconds=-61)}, "it has not reported since"),
        ({"last_report": {"certificate_not_after": None}}, "it says that it holds no health certificate now"),
        ({"max_vms": 0}, "it holds 0 of 0 VMs"),
        ({"vcpus": 1}, "it has 1 of 1 processors left, 2 needed"),
        ({"memory_mib": 1023}, "it has 1023 of 1023 MiB left, 1024 MiB needed"),
    ],
)
def test_a_host_that_will_not_do_says_why(cast: Cast, fields: dict[str, object], reason: str) -> None:
    # Moments are given from now on: the table is read long before the test runs.
    now = timezone.now()
    moments = {name: now + value for name, value in fields.items() if isinstance(value, timedelta)}
    make_host("hv01", **{**fields, **moments})
    answer = choose_host(2, 1024, now)
    assert isinstance(answer, NoHost)
    assert answer.reasons["hv01"].startswith(reason)


def test_a_claim_of_health_without_a_verdict_of_hgs_is_worth_nothing(cast: Cast) -> None:
    make_host("hv01", passed=None, certificate_not_after=None)
    assert isinstance(choose_host(1, 512, timezone.now()), NoHost)


def test_no_host_at_all_is_said(cast: Cast) -> None:
    answer = choose_host(1, 512, timezone.now())
    assert isinstance(answer, NoHost)
    assert answer.sentence == "No host is registered."


def test_addresses_and_ports_are_given_once_and_given_back(cast: Cast) -> None:
    first, second = place(cast), place(cast)
    assert (first.address, second.address) == ("10.20.0.10", "10.20.0.11")
    assert first.access_port != second.access_port
    placements.release(first.pk)
    assert place(cast).address == "10.20.0.10"


def test_a_full_network_says_so(cast: Cast) -> None:
    cast.network = create_network(cast.as_admin, name="tiny", cidr="10.30.0.0/29")  # type: ignore[misc]
    for _ in range(3):
        place(cast)
    with pytest.raises(Conflict) as refused:
        place(cast)
    assert refused.value.code == "network-full"


@pytest.mark.parametrize(
    ("cidr", "gateway"),
    [("8.8.8.0/24", ""), ("10.0.0.0/8", ""), ("10.0.0.1/24", ""), ("nonsense", ""), ("127.0.0.0/24", ""),
     ("10.0.0.0/24", "10.0.1.1"), ("10.0.0.0/24", "10.0.0.255"), ("fd00::/64", "")],
)  # fmt: skip
def test_a_network_that_cannot_work_is_refused_by_field(cast: Cast, cidr: str, gateway: str) -> None:
    with pytest.raises(Invalid) as refused:
        create_network(cast.as_admin, name="bad", cidr=cidr, gateway=gateway)
    assert set(refused.value.fields) == {"gateway" if gateway else "cidr"}
