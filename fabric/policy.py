"""What may be done in the fabric: role × action, then action × state. Pages draw buttons from the same answers."""

from enum import StrEnum

from fabric.models import (
    AttestationMode,
    BlobKind,
    Host,
    SigningState,
    TemplateDisk,
    TemplateSigning,
    TemplateState,
)
from portal.kernel.actor import Actor, Role
from portal.kernel.models import Job
from portal.kernel.policy import Allowed, Decision, Denial


class FabricAction(StrEnum):
    """Every change of the fabric's own objects."""

    REGISTER_HOST = "register a host"
    ROTATE_HOST_TOKEN = "renew a host's token"  # noqa: S105 - the name of an action
    ASK_HOST_TO_ATTEST = "ask a host to attest"
    SUBMIT_TO_HGS = "submit to HGS"
    PUBLISH_TEMPLATE = "publish a template disk"
    RETIRE_TEMPLATE = "retire a template disk"
    UNRETIRE_TEMPLATE = "bring a template disk back"
    IMPORT_DISK = "import an unsigned disk"
    SIGN_TEMPLATE = "sign a template disk"
    DESCRIBE_TEMPLATE = "describe a template disk"
    CREATE_NETWORK = "create a network"
    END_JOB = "mark a job as failed"


def decide(actor: Actor, action: FabricAction) -> Decision:
    """Whether the actor's role allows the action at all: the fabric belongs to its administrators and itself."""
    if actor.roles & {Role.FABRIC_ADMIN, Role.SYSTEM}:
        return Allowed()
    return Denial(f"Only a fabric administrator may {action.value}.", "fabric-admin-only")


def decide_capture(actor: Actor, host: Host) -> Decision:
    """Whether what the host measured last can be submitted as a baseline."""
    decision = decide(actor, FabricAction.SUBMIT_TO_HGS)
    if isinstance(decision, Denial):
        return decision
    last = host.last_attestation
    if last is None:
        return Denial("HGS has not judged this host yet.", "never-attested", because_of_state=True)
    if last.mode != AttestationMode.TPM:
        return Denial("Baselines belong to TPM mode; this host attested in another.", "no-log", because_of_state=True)
    if not last.log_sha256:
        return Denial("HGS keeps no boot log of its last attestation.", "no-log", because_of_state=True)
    return Allowed()


def decide_template(actor: Actor, action: FabricAction, template: TemplateDisk) -> Decision:
    """Whether a template disk may be retired or brought back now."""
    decision = decide(actor, action)
    if isinstance(decision, Denial):
        return decision
    if action is FabricAction.RETIRE_TEMPLATE and template.state == TemplateState.RETIRED:
        return Denial("This template disk is retired already.", "template-retired", because_of_state=True)
    if action is FabricAction.UNRETIRE_TEMPLATE and template.state == TemplateState.AVAILABLE:
        return Denial("This template disk is available already.", "template-available", because_of_state=True)
    return Allowed()


def decide_change_signing(actor: Actor, signing: TemplateSigning) -> Decision:
    """Whether what is to be signed may be changed, signing begun or taken up again, or all of it discarded, now."""
    decision = decide(actor, FabricAction.SIGN_TEMPLATE)
    if isinstance(decision, Denial):
        return decision
    if signing.state == SigningState.SIGNING:
        return Denial("It is being signed.", "signing-under-way", "Cancel the signing first.", because_of_state=True)
    if signing.state == SigningState.PUBLISHED:
        return Denial("It is signed and published.", "signing-published", because_of_state=True)
    return Allowed()


def decide_cancel_signing(actor: Actor, signing: TemplateSigning) -> Decision:
    """Whether there is anything to cancel."""
    decision = decide(actor, FabricAction.SIGN_TEMPLATE)
    if isinstance(decision, Denial):
        return decision
    if signing.state != SigningState.SIGNING:
        return Denial("It is not being signed now.", "signing-not-running", because_of_state=True)
    return Allowed()


def decide_upload(actor: Actor, kind: BlobKind) -> Decision:
    """Whether the actor may send a file of this kind at all, asked before anything of it is written."""
    if kind is BlobKind.SHIELDING_DATA:
        if actor.has(Role.TENANT):
            return Allowed()
        return Denial("Only tenants upload shielding data.", "not-a-tenant")
    if kind is BlobKind.TEMPLATE_DISK:
        return decide(actor, FabricAction.PUBLISH_TEMPLATE)
    return Denial("A file of this kind is not uploaded by itself.", "not-uploaded")


def decide_end_job(actor: Actor, job: Job) -> Decision:
    """Whether an operator may mark a job as failed: any that has not ended."""
    decision = decide(actor, FabricAction.END_JOB)
    if isinstance(decision, Denial):
        return decision
    if not job.is_open:
        return Denial("This job has ended.", "job-ended", because_of_state=True)
    return Allowed()
