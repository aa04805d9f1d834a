"""What the fabric submits has no effect before an HGS administrator approves it."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from hgs.commands import submissions
from hgs.commands.host_groups import remove_host_group
from hgs.commands.host_keys import remove_host_key
from hgs.commands.policies import set_policy_enabled
from hgs.commands.submissions import approve, reject, submit
from hgs.commands.trust import add_tpm_root, remove_artefact, remove_host, remove_tpm_root, set_artefact_enabled
from hgs.models import Baseline, CiPolicy, HostGroup, HostKey, Submission, SubmissionState, TpmHost, TrustedTpmRoot
from hgs.selectors.submissions import preview
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Conflict, Denied, Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.boots import CI_POLICY
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Trusting
from tests.hgs.service.hosts import Host

pytestmark = pytest.mark.django_db


@pytest.fixture
def tpm_root(initialised: None, manufacturer: Manufacturer) -> TrustedTpmRoot:
    (root,) = add_tpm_root(ADMIN, "", manufacturer.root)
    return root


def test_a_submission_waits(tpm_root: TrustedTpmRoot, hv01: Host, client: Client) -> None:
    submission, created = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert created
    assert submission.state == SubmissionState.PENDING
    assert not TpmHost.objects.exists()
    assert hv01.begin(client).status == 403


def test_approval_makes_a_host_known(tpm_root: TrustedTpmRoot, hv01: Host, client: Client) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    approved = approve(ADMIN, submission)
    assert (approved.state, approved.decided_by) == (SubmissionState.APPROVED, "ann")
    assert (TpmHost.objects.get().name, TpmHost.objects.get().approved_by) == ("hv01", "ann")
    assert hv01.begin(client).status == 200
    events = list(AuditEvent.objects.order_by("sequence").values_list("event", "actor_name"))
    assert events[-2:] == [("submission:created", "fabric"), ("submission:approved", "ann")]


def test_rejection_changes_nothing_and_the_same_may_be_asked_again(tpm_root: TrustedTpmRoot, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    rejected = reject(ADMIN, submission, "not ours")
    assert (rejected.state, rejected.reason) == (SubmissionState.REJECTED, "not ours")
    assert not TpmHost.objects.exists()
    again, created = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert created
    assert again.pk != submission.pk


def test_the_same_content_asks_once(tpm_root: TrustedTpmRoot, hv01: Host) -> None:
    first, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    second, created = submit(FABRIC, "host", "HV01", hv01.identity_file)
    assert (second.pk, created) == (first.pk, False)
    approve(ADMIN, first)
    third, created = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert (third.pk, third.state, created) == (first.pk, SubmissionState.APPROVED, False)


def test_a_host_that_was_removed_may_be_asked_for_again(tpm_root: TrustedTpmRoot, hv01: Host, client: Client) -> None:
    first, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    approve(ADMIN, first)
    remove_host(ADMIN, TpmHost.objects.get())
    again, created = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert (created, again.state) == (True, SubmissionState.PENDING)
    approve(ADMIN, again)
    assert hv01.begin(client).status == 200
    known, created = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert (created, known.state) == (False, SubmissionState.APPROVED)


def remove_all(kind: str) -> None:
    if kind == "host-key":
        remove_host_key(ADMIN, HostKey.objects.get())
    elif kind == "host-group":
        remove_host_group(ADMIN, HostGroup.objects.get())
    else:
        remove_artefact(ADMIN, Baseline.objects.get() if kind == "baseline" else CiPolicy.objects.get())


@pytest.mark.parametrize("kind", ["host-key", "host-group", "baseline", "ci-policy"])
def test_whatever_was_removed_may_be_asked_for_again(initialised: None, hv01: Host, kind: str) -> None:
    key = hv01.tpm.identity.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    contents = {"host-key": key, "host-group": b"S-1-5-21-1-2-3-1104", "baseline": hv01.log, "ci-policy": CI_POLICY}
    content = contents[kind]
    first = approve(ADMIN, submit(FABRIC, kind, "one", content)[0])
    assert submit(FABRIC, kind, "one", content) == (first, False)
    remove_all(kind)
    again, created = submit(FABRIC, kind, "one", content)
    assert (created, again.state) == (True, SubmissionState.PENDING)
    assert approve(ADMIN, again).state == SubmissionState.APPROVED
    remove_all(kind)


@pytest.mark.parametrize("kind", ["baseline", "ci-policy"])
def test_what_was_disabled_may_be_asked_for_again(fabric: Trusting, hv01: Host, kind: str) -> None:
    name, content = ("r1", hv01.log) if kind == "baseline" else ("hosts", CI_POLICY)
    artefact = Baseline.objects.get() if kind == "baseline" else CiPolicy.objects.get()
    set_artefact_enabled(ADMIN, artefact, False)
    again, created = submit(FABRIC, kind, name, content)
    assert (created, again.state) == (True, SubmissionState.PENDING)
    assert "which is disabled, is enabled again" in preview(ADMIN, again).change
    approve(ADMIN, again)
    artefact.refresh_from_db()
    assert artefact.is_enabled


def test_what_is_trusted_under_another_name_is_not_asked_for_twice(fabric: Trusting, hv02: Host) -> None:
    same = approve(ADMIN, submit(FABRIC, "baseline", "r2", hv02.log)[0])
    assert submit(FABRIC, "baseline", "r2", hv02.log) == (same, False)


def test_no_more_submissions_wait_than_people_can_decide_about(
    initialised: None, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "MAX_PENDING", 2)
    first, _ = submit(FABRIC, "ci-policy", "one", CI_POLICY)
    submit(FABRIC, "ci-policy", "two", CI_POLICY)
    with pytest.raises(Conflict, match="2 submissions wait") as caught:
        submit(FABRIC, "ci-policy", "three", CI_POLICY)
    assert caught.value.code == "too-many-pending"
    assert "gf hgs approvals" in caught.value.advice
    assert submit(FABRIC, "ci-policy", "one", CI_POLICY) == (first, False)
    reject(ADMIN, first)
    assert submit(FABRIC, "ci-policy", "three", CI_POLICY)[1]


@pytest.mark.parametrize("decide", [approve, reject])
def test_decisions_are_final(tpm_root: TrustedTpmRoot, hv01: Host, decide: object) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    approve(ADMIN, submission)
    with pytest.raises(Conflict):
        decide(ADMIN, submission)  # type: ignore[operator]


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT, system_actor("auto-approve")])
def test_only_an_hgs_administrator_decides(tpm_root: TrustedTpmRoot, hv01: Host, actor: Actor) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    for decide in (approve, reject):
        with pytest.raises(Denied):
            decide(actor, submission)
    assert not TpmHost.objects.exists()


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT, system_actor("sweep")])
def test_only_an_hgs_administrator_changes_what_is_trusted(fabric: Trusting, actor: Actor) -> None:
    changes = [
        lambda: add_tpm_root(actor, "", b""),
        lambda: remove_tpm_root(actor, TrustedTpmRoot.objects.get()),
        lambda: remove_host(actor, TpmHost.objects.get()),
        lambda: set_artefact_enabled(actor, Baseline.objects.get(), False),
        lambda: set_artefact_enabled(actor, CiPolicy.objects.get(), False),
        lambda: set_policy_enabled(actor, "Hgs_NoDumps", False),
    ]
    for change in changes:
        with pytest.raises(Denied):
            change()


@pytest.mark.parametrize("actor", [REVIEWER, TENANT])
def test_only_the_fabric_and_administrators_submit(initialised: None, actor: Actor) -> None:
    with pytest.raises(Denied):
        submit(actor, "ci-policy", "x", CI_POLICY)


@pytest.mark.parametrize("kind", ["host", "baseline", "ci-policy"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"<PlatformIdentifier/>", bytes(4096)])
def test_a_file_that_is_not_of_its_kind_is_refused_at_the_door(initialised: None, kind: str, content: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        submit(FABRIC, kind, "x", content)
    assert caught.value.code == f"not-a-{kind}"
    assert not Submission.objects.exists()


@pytest.mark.parametrize("name", ["", "-x", " a", "a ", "x" * 65, "a\nb", "a\n", "ü", "a/b"])
def test_a_name_that_is_none_is_refused(initialised: None, name: str) -> None:
    with pytest.raises(Invalid):
        submit(FABRIC, "ci-policy", name, CI_POLICY)


@pytest.mark.parametrize("name", ["Dell R750 2026-03", "Hosts (audit)", "a", "x+y_z.1", "x" * 64])
def test_what_is_no_host_may_have_a_name_in_words(initialised: None, name: str) -> None:
    assert submit(FABRIC, "ci-policy", name, CI_POLICY)[0].name == name


@pytest.mark.parametrize("name", ["hv 01", "hv(01)", "hv+1"])
def test_a_hosts_name_is_one_word(initialised: None, hv01: Host, name: str) -> None:
    with pytest.raises(Invalid, match="host's name"):
        submit(FABRIC, "host", name, hv01.identity_file)


def test_another_kind_is_refused(initialised: None) -> None:
    with pytest.raises(Invalid):
        submit(FABRIC, "guardian", "x", CI_POLICY)


# ---- what stands in the way of approval ----------------------------------------------------------------------------


def test_a_host_of_an_untrusted_maker_is_not_approved(initialised: None, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    with pytest.raises(Invalid) as caught:
        approve(ADMIN, submission)
    assert caught.value.code == "ek-certificate"
    submission.refresh_from_db()
    assert submission.state == SubmissionState.PENDING
    assert "cannot be approved yet" in " ".join(preview(ADMIN, submission).warnings)


def test_a_maker_of_the_same_name_is_another_maker(initialised: None, hv01: Host) -> None:
    add_tpm_root(ADMIN, "", Manufacturer().root)
    with pytest.raises(Invalid):
        approve(ADMIN, submit(FABRIC, "host", "hv01", hv01.identity_file)[0])


def test_a_name_stands_for_one_tpm(fabric: Trusting, hv02: Host) -> None:
    submission, _ = submit(FABRIC, "host", "HV01", hv02.identity_file)
    with pytest.raises(Conflict) as caught:
        approve(ADMIN, submission)
    assert caught.value.code == "host-known"


def test_a_tpm_stands_for_one_name(fabric: Trusting, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv09", hv01.identity_file)
    with pytest.raises(Conflict) as caught:
        approve(ADMIN, submission)
    assert caught.value.code == "tpm-known"


def test_an_artefact_name_stands_for_one_content(fabric: Trusting) -> None:
    from hgs.attestation.ci_policy import build_ci_policy

    submission, _ = submit(FABRIC, "ci-policy", "Hosts", build_ci_policy("other", (1, 0, 0, 0)))
    with pytest.raises(Conflict) as caught:
        approve(ADMIN, submission)
    assert caught.value.code == "artefact-name-taken"


def test_two_logs_that_say_the_same_are_one_baseline(fabric: Trusting, hv02: Host) -> None:
    fabric("baseline", "r2", hv02.log)
    assert Baseline.objects.count() == 1


def test_a_tpm_root_must_be_an_authority(initialised: None, hv01: Host) -> None:
    for content in (hv01.ek_certificate, b"garbage", b"-----BEGIN CERTIFICATE-----\n", b"x" * 70_000):
        with pytest.raises(Invalid):
            add_tpm_root(ADMIN, "", content)
    assert not TrustedTpmRoot.objects.exists()


# ---- automatic approval --------------------------------------------------------------------------------------------


def test_automatic_approval_joins_the_two_steps(tpm_root: TrustedTpmRoot, hv01: Host, settings: object) -> None:
    settings.HGS_AUTO_APPROVE = True  # type: ignore[attr-defined]
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert (submission.state, submission.decided_by) == (SubmissionState.APPROVED, "auto-approve")
    assert TpmHost.objects.get().approved_by == "auto-approve"


def test_what_automatic_approval_cannot_do_waits_with_the_reason(
    initialised: None, hv01: Host, settings: object
) -> None:
    settings.HGS_AUTO_APPROVE = True  # type: ignore[attr-defined]
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    assert submission.state == SubmissionState.PENDING
    assert submission.reason.startswith("Not approved automatically:")
    assert not TpmHost.objects.exists()


# ---- what the administrator sees -----------------------------------------------------------------------------------


def test_previews_say_what_would_change(tpm_root: TrustedTpmRoot, hv01: Host) -> None:
    host, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    seen = preview(ADMIN, host)
    assert seen.change == "A new host: the TPM with this endorsement key may attest, as hv01."
    assert dict(seen.facts)["Certificate leads to"]
    approve(ADMIN, host)
    assert preview(ADMIN, host).change.startswith("Nothing:")
    policy, _ = submit(FABRIC, "ci-policy", "hosts", CI_POLICY)
    facts = dict(preview(ADMIN, policy).facts)
    assert (facts["Policy version"], facts["Mode"]) == ("10.0.0.0", "enforced")


def test_an_audit_mode_policy_is_marked(initialised: None) -> None:
    from hgs.attestation.ci_policy import build_ci_policy

    policy, _ = submit(FABRIC, "ci-policy", "audit", build_ci_policy("audit", audit=True))
    seen = preview(ADMIN, policy)
    assert dict(seen.facts)["Mode"] == "audit"
    assert any("audit mode" in warning for warning in seen.warnings)


def test_a_locked_policy_cannot_be_disabled(initialised: None) -> None:
    with pytest.raises(Conflict):
        set_policy_enabled(ADMIN, "Hgs_SecureBootEnabled", False)
