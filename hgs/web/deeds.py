"""The changes that the HGS console offers; each runs one command."""

from uuid import UUID

from django.http import HttpRequest

from hgs.commands.dump_keys import add_dump_key
from hgs.commands.offline_starts import permit_offline_starts
from hgs.commands.submissions import approve, reject
from hgs.commands.trust import add_tpm_root, remove_tpm_root
from hgs.models import PolicyVersion
from hgs.selectors import submissions, trust
from hgs.web.access import deed
from hgs.web.lists import one_of, uploaded
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid


@deed("hgs:approvals")
def approve_submission(_request: HttpRequest, actor: Actor, submission_id: UUID) -> str:
    """Trust what was submitted."""
    done = approve(actor, submissions.submission(actor, submission_id))
    return f"{done} approved. HGS trusts it now."


@deed("hgs:approvals")
def reject_submission(request: HttpRequest, actor: Actor, submission_id: UUID) -> str:
    """Refuse what was submitted."""
    reason = " ".join(request.POST.get("reason", "").split())
    done = reject(actor, submissions.submission(actor, submission_id), reason)
    return f"{done} rejected."


@deed("hgs:dump-keys")
def add_key(request: HttpRequest, actor: Actor) -> str:
    """Trust a dump key by its hash."""
    version = PolicyVersion.V1 if request.POST.get("version") == "1" else PolicyVersion.V2
    name = " ".join(request.POST.get("name", "").split())
    key = add_dump_key(actor, name, request.POST.get("hash", "").strip(), version)
    return f"Dump key {key.name} added. Dumps that are encrypted to it are accepted from now on."


@deed("hgs:keys")
def set_offline_starts(request: HttpRequest, actor: Actor) -> str:
    """Say how often hosts may start virtual machines while no HGS answers."""
    text = request.POST.get("count", "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Invalid("offline-starts", "Give a whole number; 0 forbids starts without HGS.")
    permit_offline_starts(actor, int(text))
    return (
        "Hosts start no VM without HGS." if int(text) == 0 else f"Hosts may start a VM {int(text)} times without HGS."
    )


@deed("hgs:keys")
def add_root(request: HttpRequest, actor: Actor) -> str:
    """Trust a TPM maker's certificates."""
    name, as_root = " ".join(request.POST.get("name", "").split()), request.POST.get("as_root") == "yes"
    roots = add_tpm_root(actor, name, uploaded(request, "file"), as_root=as_root)
    return f"Trusted: {', '.join(root.name for root in roots)}."


@deed("hgs:keys")
def forget_root(_request: HttpRequest, actor: Actor, root_id: UUID) -> str:
    """Stop trusting a TPM maker's certificate."""
    root = one_of(trust.tpm_roots(actor), root_id, "TPM certificate")
    name = root.name
    remove_tpm_root(actor, root)
    return f"{name} is no longer trusted."
