"""The fixed cast of control-plane tests: an owner, another tenant, a fabric administrator, hosts and templates."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.utils import timezone

from fabric.commands.networks import create_network
from fabric.models import BlobKind, Host, HostState, LibraryBlob, Network, TemplateDisk
from fabric.models.library import library_path
from portal.accounts.models import User
from portal.kernel.actor import Actor, Role, system_actor, user_actor
from tenants.models import Plan, ShieldingData, Subscription

SIGNER = "ab" * 32


def make_user(name: str, role: Role) -> User:
    return User.objects.create(username=name, role=role.value)


def make_blob(content: bytes, kind: BlobKind) -> LibraryBlob:
    sha256 = hashlib.sha256(content).hexdigest()
    path = library_path(sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    blob, _ = LibraryBlob.objects.get_or_create(sha256=sha256, defaults={"size": len(content), "kind": kind})
    return blob


def make_template(name: str = "debian", version: str = "1.0.0.0", signer: str = SIGNER) -> TemplateDisk:
    return TemplateDisk.objects.create(
        name=name,
        version=version,
        family=name.title(),
        release=version.partition(".")[0],
        signer_fingerprint=signer,
        catalog=make_blob(f"catalog {name} {version}".encode(), BlobKind.CATALOG),
        disk=make_blob(f"disk {name} {version}".encode(), BlobKind.TEMPLATE_DISK),
        published_by="fabric-admin",
    )


def make_host(name: str, now: datetime | None = None, **fields: object) -> Host:
    """A healthy host with room, unless `fields` say otherwise."""
    now = now or timezone.now()
    ends = now + timedelta(hours=8)
    values: dict[str, object] = {
        "token_key_id": uuid.uuid4().hex[:12],
        "token_hash": "1:x",
        "token_issued_at": now,
        "state": HostState.ONLINE,
        "last_report_at": now,
        "last_report": {"certificate_not_after": ends.isoformat()},
        "passed": True,
        "certificate_not_after": ends,
        "vcpus": 8,
        "memory_mib": 8192,
        "max_vms": 10,
    }
    return Host.objects.create(name=name, **{**values, **fields})


def make_shielding_data(subscription: Subscription, name: str = "web", **fields: object) -> ShieldingData:
    values: dict[str, object] = {
        "blob": make_blob(f"pdk {name} {subscription.pk}".encode(), BlobKind.SHIELDING_DATA),
        "policy": "shielded",
        "owner_name": "contoso guardian signing",
        "owner_fingerprint": "cd" * 32,
        "guardians": [{"name": "HGS", "fingerprint": "ef" * 32}],
        "qualifiers": [
            {
                "disk_name": "debian",
                "signer_fingerprint": SIGNER,
                "version": "1.0.0.0",
                "rule": "GreaterThanOrEquals",
            }
        ],
        "uploaded_by": "owner",
    }
    return ShieldingData.objects.create(subscription=subscription, name=name, **{**values, **fields})


@dataclass
class Cast:
    """Everybody and everything, made when first asked for."""

    @cached_property
    def plan(self) -> Plan:
        return Plan.objects.create(name="standard", quota_vms=3, quota_vcpus=4, quota_memory_mib=2048)

    @cached_property
    def owner(self) -> User:
        return make_user("owner", Role.TENANT)

    @cached_property
    def other(self) -> User:
        return make_user("other", Role.TENANT)

    @cached_property
    def admin(self) -> User:
        return make_user("fabric-admin", Role.FABRIC_ADMIN)

    @cached_property
    def subscription(self) -> Subscription:
        return Subscription.objects.create(name="contoso", owner=self.owner, plan=self.plan)

    @cached_property
    def other_subscription(self) -> Subscription:
        return Subscription.objects.create(name="fabrikam", owner=self.other, plan=self.plan)

    @cached_property
    def network(self) -> Network:
        return create_network(system_actor("test"), name="lab", cidr="10.20.0.0/24")

    @cached_property
    def template(self) -> TemplateDisk:
        return make_template()

    @cached_property
    def shielding_data(self) -> ShieldingData:
        return make_shielding_data(self.subscription)

    @cached_property
    def host(self) -> Host:
        return make_host("hv01")

    @property
    def as_owner(self) -> Actor:
        return user_actor(self.owner)

    @property
    def as_other(self) -> Actor:
        return user_actor(self.other)

    @property
    def as_admin(self) -> Actor:
        return user_actor(self.admin)
