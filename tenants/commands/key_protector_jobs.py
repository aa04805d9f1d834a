"""What the end of a job about a VM's key protector means. The fabric's listener calls these."""

import base64
import binascii
import hashlib
from typing import Any

from django.utils import timezone

from fabric.messages import HostError
from fabric.workloads import Finished
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.protector import VerifiedProtector, parse_protector, verify_protector
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from portal.kernel import audit
from portal.kernel.actor import system_actor
from portal.kernel.models import Job
from tenants.commands.dependents import report_soon
from tenants.commands.virtual_machines import scope_of
from tenants.models import ProtectorState, VirtualMachine, VmKeyProtector
from tenants.pdk_file import guardians_of, joined_pairs
from tenants.steps import EXPORT_PROTECTOR, REPLACE_PROTECTOR

KINDS = frozenset({EXPORT_PROTECTOR, REPLACE_PROTECTOR})
OUTDATED = "protector-outdated"
_REFUSED = HostError(
    "protector-refused",
    "The host gave something that is not this virtual machine's key protector.",
    "Tell the fabric administrator; then try again.",
)
_UNEXPECTED = HostError(
    "protector-differs",
    "The host says that it put another key protector in force than the one you uploaded.",
    "Tell the fabric administrator; then fetch the key protector again.",
)


class _NotTheVmsError(Exception):
    """What a host sent is not the VM's protector."""


def protector_job_ended(kind: str, finished: Finished) -> None:
    """Keep what an export brought, or note that a replacement is in force; a failure with its reason."""
    kept = VmKeyProtector.objects.select_related("vm__shielding_data").filter(pk=finished.vm_id).first()
    if kept is None or kept.job_id != finished.job_id or not kept.under_way:
        return
    if finished.outcome != "succeeded":
        _failed(kept, kind, finished.error)
        return
    result = Job.objects.values_list("result", flat=True).get(pk=finished.job_id)
    if kind == EXPORT_PROTECTOR:
        _exported(kept, result)
    else:
        _replaced(kept, result)


def _exported(kept: VmKeyProtector, result: dict[str, Any]) -> None:
    try:
        document, verified = _protector(kept.vm, result.get("protector"))
    except _NotTheVmsError:
        _failed(kept, EXPORT_PROTECTOR, _REFUSED)
        return
    VmKeyProtector.objects.filter(pk=kept.pk).update(
        state=ProtectorState.EXPORTED, document=document, sha256=hashlib.sha256(document).hexdigest(),
        exported_at=timezone.now(), problem={},
    )  # fmt: skip
    # The document itself is what counts: an earlier replacement may have been in force although nobody heard of it.
    guardians = guardians_of(verified)
    VirtualMachine.objects.filter(pk=kept.pk).update(guardians=guardians, guardian_pairs=joined_pairs(guardians))


def _protector(vm: VirtualMachine, text: object) -> tuple[bytes, VerifiedProtector]:
    """What a host sent, if it is a key protector of this VM's owner."""
    if not isinstance(text, str) or len(text) > 2 * PROTECTOR_MAX:
        raise _NotTheVmsError
    try:
        document = base64.b64decode(text, validate=True)
        verified = verify_protector(parse_protector(document))
    except (binascii.Error, ValueError, KeyProtectionError) as error:
        raise _NotTheVmsError from error
    if verified.owner_fingerprint != vm.owner_fingerprint:
        raise _NotTheVmsError
    return document, verified


def _replaced(kept: VmKeyProtector, result: dict[str, Any]) -> None:
    if result.get("sha256") != kept.replacement_sha256:
        _failed(kept, REPLACE_PROTECTOR, _UNEXPECTED, forget=True)
        return
    guardians = kept.replacement_guardians
    VmKeyProtector.objects.filter(pk=kept.pk).update(
        state=ProtectorState.REPLACED, document=b"", sha256="", replaced_at=timezone.now(), problem={}
    )
    VirtualMachine.objects.filter(pk=kept.pk).update(guardians=guardians, guardian_pairs=joined_pairs(guardians))
    _record(kept, "vm:protector-replaced", f"The host of {kept.vm.name} took over its changed key protector")
    report_soon()


def _failed(kept: VmKeyProtector, kind: str, error: HostError | None, *, forget: bool = False) -> None:
    problem = _problem(error)
    forget = forget or kind == EXPORT_PROTECTOR or problem["code"] == OUTDATED
    emptied = {"document": b"", "sha256": ""} if forget else {}
    VmKeyProtector.objects.filter(pk=kept.pk).update(state=ProtectorState.FAILED, problem=problem, **emptied)
    verb = "fetch" if kind == EXPORT_PROTECTOR else "replace"
    _record(kept, f"vm:protector-{verb}-failed", f"Could not {verb} the key protector: {problem['message']}"[:500])


def _problem(error: HostError | None) -> dict[str, str]:
    if error is not None and error.code == OUTDATED:
        return {
            "code": error.code,
            "message": "It was started after its key protector was fetched, so the one you uploaded is outdated.",
            "advice": "Nothing was changed. Fetch its key protector again, change that one and upload it before the VM "
            "is started again.",
        }
    error = error or HostError("unexplained", "The host gave no reason.", "Try again.")
    return {"code": error.code, "message": error.message, "advice": error.advice}


def _record(kept: VmKeyProtector, event: str, summary: str) -> None:
    audit.record(
        system_actor("fabric"), event, target_type="virtual-machine", target_id=kept.pk, summary=summary,
        scope=scope_of(kept.vm.subscription_id), data={"sha256": kept.replacement_sha256},
    )  # fmt: skip
