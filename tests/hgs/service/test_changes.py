"""The diff that an administrator reads before something is trusted."""

from dataclasses import replace

import pytest

from hgs.attestation.baseline import Baseline as Measured
from hgs.attestation.ci_policy import PolicyBuilder, PolicyOption, build_ci_policy
from hgs.attestation.efi import Authority
from hgs.commands.submissions import submit
from hgs.commands.trust import add_tpm_root, set_artefact_enabled
from hgs.models import Baseline
from hgs.selectors.baseline_changes import compare_baselines, distance
from hgs.selectors.changes import Difference, difference
from portal.kernel.errors import Denied
from tests.hgs.attestation.boots import REVOKED, Boot
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Trusting
from tests.hgs.service.hosts import Host

pytestmark = pytest.mark.django_db

AUTHORITY = Authority("db", "a" * 64, "a production certificate")
REFERENCE = Measured(True, (AUTHORITY,), ("sha256:" + "1" * 64, "sha256:" + "2" * 64), False, (), {"PK": "f" * 64})


def diff(kind: str, content: bytes, name: str = "new") -> Difference:
    found = difference(ADMIN, submit(FABRIC, kind, name, content)[0])
    assert found is not None
    return found


def log_of(boot: Boot) -> bytes:
    return boot.log().build().serialise()


# ---- baselines -----------------------------------------------------------------------------------------------------


def test_a_baseline_is_no_change_of_itself() -> None:
    assert compare_baselines(REFERENCE, REFERENCE) == ()
    assert distance(REFERENCE, REFERENCE) == 0


@pytest.mark.parametrize(
    ("changed", "subject", "kind", "weakens"),
    [
        (replace(REFERENCE, secure_boot=False), "Secure Boot", "changed", True),
        (replace(REFERENCE, debug=True), "Debugging", "changed", True),
        (replace(REFERENCE, authorities=(AUTHORITY, Authority("db", "b" * 64, "x"))), "Authorities", "added", True),
        (replace(REFERENCE, authorities=()), "Authorities", "removed", False),
        (replace(REFERENCE, dbx=REFERENCE.dbx[:1]), "Revocation list (dbx)", "removed", True),
        (replace(REFERENCE, dbx=(*REFERENCE.dbx, "sha256:" + "3" * 64)), "Revocation list (dbx)", "added", False),
        (replace(REFERENCE, custom_policies=("p",)), "Custom Secure Boot policies", "added", True),
        (replace(REFERENCE, databases={"PK": "0" * 64}), "Databases", "changed", False),
    ],
)
def test_each_kind_of_change_is_named(changed: Measured, subject: str, kind: str, weakens: bool) -> None:
    (change,) = compare_baselines(REFERENCE, changed)
    assert (change.subject, change.kind, change.weakens) == (subject, kind, weakens)
    assert distance(REFERENCE, changed) > 0


def test_every_entry_that_left_dbx_is_listed() -> None:
    long = replace(REFERENCE, dbx=tuple(f"sha256:{number:064x}" for number in range(400)))
    (change,) = compare_baselines(long, replace(long, dbx=long.dbx[:3]))
    assert change.entries == long.dbx[3:]
    assert "397 entries" in change.sentence


def test_a_description_alone_is_no_change() -> None:
    renamed = replace(REFERENCE, authorities=(replace(AUTHORITY, description="another name"),))
    assert compare_baselines(REFERENCE, renamed) == ()


def test_a_submission_is_compared_with_the_nearest_baseline(fabric: Trusting) -> None:
    fabric("baseline", "far", log_of(Boot(revoked=(b"\x07" * 32, b"\x08" * 32, b"\x09" * 32), authority=b"other")))
    found = diff("baseline", log_of(Boot(revoked=REVOKED[:1])))
    assert found.against == "r1"
    assert found.weakens
    lost = next(change for change in found.changes if change.kind == "removed")
    assert lost.entries == ("sha256:" + "02" * 32,)


def test_an_enabled_baseline_is_nearer_than_a_disabled_one(fabric: Trusting) -> None:
    fabric("baseline", "same-but-off", log_of(Boot(revoked=REVOKED[:1])))
    set_artefact_enabled(ADMIN, Baseline.objects.get(name="same-but-off"), False)
    assert diff("baseline", log_of(Boot(revoked=REVOKED[:1]))).against == "r1"


def test_the_first_of_its_kind_has_nothing_to_be_compared_with(initialised: None) -> None:
    for kind, content in (("baseline", log_of(Boot())), ("ci-policy", build_ci_policy("x"))):
        found = diff(kind, content)
        assert (found.against, found.changes) == ("", ())
        assert "only" in found.sentence


def test_what_was_approved_is_compared_with_the_others(fabric: Trusting) -> None:
    approved = fabric("baseline", "newer", log_of(Boot(revoked=())))
    found = difference(ADMIN, approved)
    assert found is not None
    assert (found.against, bool(found.changes)) == ("r1", True)
    policy = fabric("ci-policy", "hosts-2", ci_policy(1))
    found = difference(ADMIN, policy)
    assert found is not None
    assert (found.against, bool(found.changes)) == ("hosts", True)


# ---- CI policies ---------------------------------------------------------------------------------------------------


def ci_policy(*hashes: int, audit: bool = False, version: int = 1) -> bytes:
    builder = PolicyBuilder()
    for number in hashes:
        builder.allow_hash(bytes([number]) * 32, drivers=True, label=f"driver{number}.sys")
    options = PolicyOption.AUDIT_MODE if audit else 0
    return builder.build(int(options), (10, 0, 0, version)).serialise()


def test_rules_that_were_added_and_removed_are_listed(fabric: Trusting) -> None:
    fabric("ci-policy", "drivers-1.0", ci_policy(1, 2, 3))
    found = diff("ci-policy", ci_policy(3, 4, 5, version=2), "drivers-1.1")
    assert found.against == "drivers-1.0"
    told = {(change.kind, change.subject): change for change in found.changes}
    (added,) = (change for (kind, _), change in told.items() if kind == "added")
    (removed,) = (change for (kind, _), change in told.items() if kind == "removed")
    assert added.weakens
    assert any("driver4.sys" in entry or "04" * 8 in entry for entry in added.entries)
    assert len(added.entries) == len(removed.entries) == 2
    assert ("changed", "Version") in told


def test_a_policy_that_only_audits_deserves_a_second_look(fabric: Trusting) -> None:
    fabric("ci-policy", "drivers-1.0", ci_policy(1))
    found = diff("ci-policy", ci_policy(1, audit=True), "drivers-1.1")
    assert found.weakens
    assert any("Audit mode switched on" in change.sentence for change in found.changes)


def test_a_policy_of_the_same_family_is_nearer_than_a_similar_one(fabric: Trusting) -> None:
    fabric("ci-policy", "drivers-1.0", ci_policy(1, 2, 3, 4))
    fabric("ci-policy", "other", ci_policy(7, 8))
    assert diff("ci-policy", ci_policy(7, 8, 9), "drivers-2.0").against == "drivers-1.0"
    assert diff("ci-policy", ci_policy(7, 8, 9), "something").against == "other"


# ---- hosts ---------------------------------------------------------------------------------------------------------


def test_a_host_shows_the_path_of_its_certificate(initialised: None, manufacturer: Manufacturer, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    before = difference(ADMIN, submission)
    assert before is not None
    assert before.weakens
    add_tpm_root(ADMIN, "", manufacturer.root)
    after = difference(REVIEWER, submission)
    assert after is not None
    path = next(change for change in after.changes if change.subject == "Certificate path")
    assert path.entries[-1] == "Common Name: Acme TPM Root"
    assert not after.weakens


def test_others_do_not_read_it(fabric: Trusting) -> None:
    submission, _ = submit(FABRIC, "baseline", "new", log_of(Boot(revoked=())))
    for actor in (FABRIC, TENANT):
        with pytest.raises(Denied):
            difference(actor, submission)
