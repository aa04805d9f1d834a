"""A fabric whose HGS gets other keys: real shielding data and key protectors, a host played at the task boundary."""

import base64
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

from django.utils import timezone

from fabric.commands.guardian import note_guardian
from fabric.commands.jobs import finish_job
from fabric.commands.placing import place_vm
from fabric.messages import HostError
from fabric.models import GuardianInForce
from fabric.selectors import guardian as guardian_selector
from fabric.shielding.pdk import Policy, ShieldingSecrets, parse_pdk, write_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.protector import (
    parse_protector,
    roll,
    serialise_protector,
    unwrap,
    verify_protector,
)
from portal.kernel.actor import Actor
from tenants.commands.shielding_data import upload_shielding_data
from tenants.commands.virtual_machines import create_vm
from tenants.models import ShieldingData, Subscription, VirtualMachine
from tenants.rollover.bundle import Bundle, BundleItem, BundleKind, read_bundle, write_bundle
from tenants.rollover.regranting import Change, Regranted, regrant
from tenants.selectors.rollover import write_work_file
from tests.cast import SIGNER, Cast
from tests.fabric.shielding.test_pdk import ANSWER, FILES
from tests.hgs.keyprotection.guardians import branch, communications, counted_random, lab, owner


@cache
def pdk_for(guardian: GuardianKeys, by: GuardianKeys, seed: str = "pdk") -> bytes:
    """Shielding data for the template of the cast."""
    trusted = VolumeIdQualifier("debian", bytes.fromhex(SIGNER), "1.0.0.0", VersionRule.GREATER_THAN_OR_EQUALS)
    secrets = ShieldingSecrets(ANSWER, FILES)
    return write_pdk(by, [guardian.guardian], Policy.SHIELDED, [trusted], secrets, counted_random(seed))


@contextmanager
def hgs_has(keys: GuardianKeys) -> Iterator[GuardianInForce]:
    """HGS serves the metadata of these keys, and the control plane has noticed."""
    guardian_selector.forget_guardian()
    document = serialise_metadata(keys.guardian, communications())
    with patch("fabric.selectors.guardian.guardian_metadata", return_value=document):
        yield note_guardian(timezone.now())
    guardian_selector.forget_guardian()


def upload(cast: Cast, name: str = "web", by: GuardianKeys | None = None, **where: Any) -> ShieldingData:
    """Shielding data for the guardian of before, uploaded."""
    actor: Actor = where.get("actor", cast.as_owner)
    subscription: Subscription = where.get("subscription", cast.subscription)
    data = pdk_for(lab(), by or owner(), f"{name} {subscription.pk}")
    return upload_shielding_data(actor, subscription=subscription, name=name, file=[data])


@dataclass
class PlayedHost:
    """What a host does with the two tasks: it keeps each VM's protector, and rolls it at a start."""

    protectors: dict[str, bytes] = field(default_factory=dict)
    starts: int = 0
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def make(self, cast: Cast, data: ShieldingData, name: str = "web01", actor: Actor | None = None) -> VirtualMachine:
        """A VM that was created, placed, and runs."""
        cast.template, cast.host  # noqa: B018 - made when asked for
        started = create_vm(
            actor or cast.as_owner, subscription=data.subscription, name=name, shielding_data=data,
            network=cast.network,
        )  # fmt: skip
        place_vm(started.job.pk, started.vm.pk, 0, timezone.now())
        document = serialise_protector(parse_pdk(data.blob.path.read_bytes()).key_protector)
        self.protectors[str(started.vm.pk)] = document
        self.start(started.vm)
        finish_job(started.job.pk, "succeeded")
        started.vm.refresh_from_db()
        return started.vm

    def start(self, vm: VirtualMachine, keys: GuardianKeys | None = None) -> None:
        """What a start does to the VM's protector: HGS rolls it."""
        verified = verify_protector(parse_protector(self.protectors[str(vm.pk)]))
        rolled, _ = roll(verified, keys or lab(), counted_random(f"start {vm.pk} {self.starts}"))
        self.starts += 1
        self.protectors[str(vm.pk)] = serialise_protector(rolled)

    def send(self, task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:  # noqa: ARG002 - as the broker's
        """Stands for the broker: what would be sent is kept until `work`."""
        self.sent.append((task, dict(kwargs)))

    def work(self) -> None:
        """Do the waiting jobs about protectors."""
        waiting, self.sent = self.sent, []
        for task, kwargs in waiting:
            if task == "host.export_protector":
                text = base64.b64encode(self.protectors[kwargs["vm_id"]]).decode()
                finish_job(kwargs["job_id"], "succeeded", result={"protector": text})
            elif task == "host.replace_protector":
                self._replace(**kwargs)

    def _replace(self, job_id: str, vm_id: str, protector: str) -> None:
        """Accept what the owner made of the protector in force: same transport key, as its signature shows."""
        document = base64.b64decode(protector)
        in_force = verify_protector(parse_protector(self.protectors[vm_id]))
        if unwrap(verify_protector(parse_protector(document)), owner()) != unwrap(in_force, owner()):
            finish_job(job_id, "failed", HostError("protector-outdated", "It is not of the protector in force.", ""))  # type: ignore[arg-type]
            return
        self.protectors[vm_id] = document
        finish_job(job_id, "succeeded", result={"sha256": hashlib.sha256(document).hexdigest()})  # type: ignore[arg-type]


def work_file(actor: Actor) -> bytes:
    """The work file as the portal gives it."""
    target = io.BytesIO()
    write_work_file(actor, target)
    return target.getvalue()


def regranted(work: bytes, by: GuardianKeys | None = None, to: GuardianKeys | None = None, *without: str) -> bytes:
    """What the owner makes of a work file offline."""
    bundle = read_bundle(io.BytesIO(work), BundleKind.WORK)
    change = Change(by or owner(), (to or branch()).guardian, without)
    done: list[BundleItem] = []
    for item in bundle.items:
        found = regrant(item, change, counted_random(item.id))
        if isinstance(found, Regranted):
            done.append(found.item)
    return result_of(bundle, *done)


def result_of(work: Bundle, *items: BundleItem) -> bytes:
    """A result with these items."""
    target = io.BytesIO()
    write_bundle(target, Bundle(BundleKind.RESULT, work.guardian, items))
    return target.getvalue()
