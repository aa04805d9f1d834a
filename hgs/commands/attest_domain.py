"""Attestation in Active Directory mode ([MS-HGSA] 3.1.5.2): an authenticated request in, one reply out, verdict stored.

The account behind the ticket was authenticated before (:mod:`hgs.kerberos`); here its groups meet the registered ones.
As in the original any account counts that is in a registered group, a computer's or a person's: who is put into the
group is the domain administrator's decision, and the verdict says which kind it was.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from hgs.attestation.domain import DomainOutcome, NamedGroup, identity_of, judge_domain_host
from hgs.attestation.pac import DomainAccount
from hgs.attestation.replies import error_reply
from hgs.attestation.sid import Sid
from hgs.attestation.verdict import Verdict
from hgs.commands.answers import Answer
from hgs.commands.health_certificates import certify
from hgs.commands.verdicts import keep
from hgs.models import Attestation, DomainHost, HostGroup, OperationMode, PolicyVersion
from hgs.wire import hgsa

_CERTIFIABLE: Final = frozenset(
    {
        hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE,
        hgsa.AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE,
    }
)


def attest_domain(
    message: hgsa.ADRequest,
    account: DomainAccount,
    now: datetime,
    *,
    is_bound: bool,
    version: PolicyVersion = PolicyVersion.V2,
    is_rehearsal: bool = False,
) -> Answer:
    """Answer an ADRequest of an authenticated account; ``is_bound``: its ticket covers the request itself.

    Raises Unavailable when HGS is not initialised.
    """
    kinds = {kind for kind, _ in message.requested}
    if not kinds or not kinds <= _CERTIFIABLE:
        reason = "The request asks for no certificate, or for one that does not exist in this mode."
        return Answer(hgsa.PayloadErrorReply(retryable=False), reason=reason)
    groups = {NamedGroup(group.name, Sid.parse(group.sid)): group for group in HostGroup.objects.all()}
    outcome = judge_domain_host(account, tuple(groups), message.requested, is_bound=is_bound, version=version)
    identity, verdict = identity_of(account.sid), outcome.verdict
    issued = certify(identity, outcome.keys, now) if verdict.passed and not is_rehearsal else {}
    with transaction.atomic():
        # Every account of the domain gets tickets. Those that are hosts, or were until now, have a history; what the
        # others send is kept like what anybody sends, so that they can fill nothing.
        proven = outcome.group is not None or DomainHost.objects.filter(identity=identity).exists()
        if not is_rehearsal:
            _remember(account, outcome, groups[outcome.group] if outcome.group else None, now)
        attestation = _attestation(verdict, now, proven=proven, is_rehearsal=is_rehearsal)
        stored = keep(attestation, verdict, issued.values())
    if verdict.passed:
        return Answer(hgsa.HealthCertificateReply(tuple(issued.items())), stored)
    return Answer(error_reply(verdict), stored, verdict.summary)


def _remember(account: DomainAccount, outcome: DomainOutcome, group: HostGroup | None, now: datetime) -> None:
    """A host that passed is known from now on; one that left its groups no longer, and its certificates end with that.

    One that comes by another group than before is known anew. An identity key that cannot be certified says nothing
    about membership.
    """
    identity = identity_of(account.sid)
    if group is None:
        DomainHost.objects.filter(identity=identity).delete()
    elif outcome.verdict.passed:
        known = {"name": outcome.verdict.host_name, "seen_at": now}
        if not DomainHost.objects.filter(identity=identity, group=group).update(**known):
            known |= {"sid": str(account.sid), "group": group, "known_since": now}
            DomainHost.objects.update_or_create(identity=identity, defaults=known)


def _attestation(verdict: Verdict, now: datetime, *, proven: bool, is_rehearsal: bool) -> Attestation:
    return Attestation(
        at=now,
        host_name=verdict.host_name,
        mode=OperationMode.ACTIVE_DIRECTORY,
        policy_version=verdict.protocol_version,
        is_rehearsal=is_rehearsal,
        identity=verdict.ek_hash,
        passed=verdict.passed,
        proven=proven,
        status=verdict.status.value,
        verdict=verdict.to_json(),
    )
