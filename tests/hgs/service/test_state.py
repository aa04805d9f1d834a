"""An HGS goes into a file and comes out of it: the same hosts attest, and the same protectors open."""

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from hgs.attestation.ci_policy import build_ci_policy
from hgs.attestation.domain import identity_of
from hgs.attestation.healthcert import make_signer
from hgs.attestation.sid import Sid
from hgs.commands import signers
from hgs.commands import state as exporting
from hgs.commands import state_import as importing
from hgs.commands.clocks import beat
from hgs.commands.dump_keys import add_dump_key
from hgs.commands.host_groups import add_host_group
from hgs.commands.host_keys import add_host_key
from hgs.commands.initialise import initialise
from hgs.commands.policies import set_policy_enabled
from hgs.commands.state import export_state
from hgs.commands.state_import import Choices, Imported, import_state, inspect_state
from hgs.commands.trust import remove_host
from hgs.keyprotection.protector import Protector, new_protector, parse_protector
from hgs.keyprotection.release import open_response
from hgs.keyprotection.secret import Secret
from hgs.models import (
    ClockReading,
    DependentsReport,
    DomainHost,
    KeyPurpose,
    KeyRelease,
    LogHead,
    LogLeaf,
    LogTile,
    OperationMode,
    RevokedProtector,
    ServiceConfiguration,
    ServiceKey,
    TpmHost,
)
from hgs.sealing import key_id, key_id_of
from hgs.selectors import keys
from hgs.selectors.key_log import frontier_at
from hgs.selectors.key_log_check import damage as log_damage
from hgs.statefile.errors import StateFileError
from hgs.transparency.checkpoint import open_checkpoint
from hgs.wire import kps
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, Invalid, Unavailable
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host, roll
from tests.hgs.service.states import PASSPHRASE, WORK, log_key, lose_everything, make_log, opened, rows

pytestmark = pytest.mark.django_db
MEMBER = "S-1-5-21-1-2-3-2001"
WHOLE_TILES = 515


@pytest.fixture
def hgs(fabric: Trusting, manufacturer: Manufacturer, monkeypatch: pytest.MonkeyPatch) -> Trusting:
    """An HGS with something of everything; whatever signer it makes from here on is a new one."""
    monkeypatch.setattr(signers, "make_signer", make_signer)
    add_dump_key(ADMIN, "dumps", "ab" * 32)
    add_host_key(ADMIN, "hv08", manufacturer.root)
    set_policy_enabled(ADMIN, "Hgs_NoHibernation", False)
    group, _ = add_host_group(ADMIN, "hosts", "S-1-5-21-1-2-3-1104")
    DomainHost.objects.create(
        identity=identity_of(Sid.parse(MEMBER)), sid=MEMBER, name="hv09", group=group, known_since=NOW, seen_at=NOW
    )
    RevokedProtector.objects.create(
        protector_hash="12" * 32, owner_fingerprint="34" * 32, notice_hash="56" * 32, at=NOW
    )
    DependentsReport.objects.create(at=NOW, dependents=[{"kind": "vm", "name": "web01 – ü"}])
    return fabric


def export(path: Path, **options: Any) -> Path:
    out = path / "lab.hgs-state"
    export_state(ADMIN, out, PASSPHRASE, work=WORK, **options)
    return out


def restore(path: Path, **choices: bool) -> Imported:
    return import_state(ADMIN, path, PASSPHRASE, Choices(**choices))


def started(client: Client, host: Host, protector: Protector, certificate: bytes) -> tuple[Protector, Secret, Secret]:
    """What the start of a VM asks for: the key it was left with, and the protector and key it is left with next."""
    request, response = roll(client, protector, certificate)
    assert response.status_code == 200, response.content
    answer = kps.parse_response(response.content)
    released = open_response(answer, request, host.decrypt)
    return parse_protector(answer.egress_protector), released.ingress, released.egress


# ---- the drill -----------------------------------------------------------------------------------------------------


def test_after_everything_was_lost_the_same_host_attests_and_the_same_machine_starts(
    client: Client, hgs: Trusting, hv01: Host, clock: Clock, settings: Any, tmp_path: Path
) -> None:
    before = hv01.attest(client).certificate
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    protector, _, key = started(client, hv01, protector, before)
    path = export(tmp_path)
    protector_after, _, key_after = started(client, hv01, protector, before)  # started once more after the export

    lose_everything(settings)
    assert client.get(kps.METADATA_PATH).status_code == 503
    clock.forward(minutes=30)
    restore(path)

    assert client.get(kps.METADATA_PATH).status_code == 200
    certificate = hv01.attest(client).certificate
    for last, left in ((protector, key), (protector_after, key_after)):
        _, ingress, _ = started(client, hv01, last, certificate)
        assert ingress == left
    _, ingress, _ = started(client, hv01, protector, before)  # what its old certificate is good for in the overlap
    assert ingress == key
    assert verify_chain() is None
    assert log_damage() is None
    assert LogHead.objects.get().size == 3, "the new log has what was released since"
    assert KeyRelease.objects.count() == 4, "and the release of before the file is history"


def test_everything_comes_back_as_it_was(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    make_log(300)
    before = rows(left_out=["log_index"])
    path = export(tmp_path)
    lose_everything(settings)
    found = restore(path, keep_signer=True).found
    after = rows(left_out=["log_index"])
    assert set(found.summary.counts) == set(before)
    new_log = {"configuration", "key", "log-head", "log-leaf", "log-tile"}
    for kind in set(before) - new_log:
        assert after[kind] == before[kind], kind
        assert after[kind], f"nothing of the kind {kind} was there to be lost"
    (configuration,), (was,) = after["configuration"], before["configuration"]
    assert configuration | {"log_origin": ""} == was | {"log_origin": ""}
    made_anew = {KeyPurpose.EXCHANGE_STATE, KeyPurpose.KEY_LOG}
    kept = [row for row in before["key"] if row["purpose"] not in made_anew]
    assert [row for row in after["key"] if row["purpose"] not in made_anew] == kept
    assert {row["purpose"] for row in after["key"]} == set(KeyPurpose)
    assert {key_id_of(bytes(row.sealed_key)) for row in ServiceKey.objects.all()} == {key_id(settings.HGS_MASTER_KEY)}


def test_an_exchange_from_before_is_worth_nothing_after_a_restore(
    client: Client, hgs: Trusting, hv01: Host, settings: Any, tmp_path: Path
) -> None:
    challenged = hv01.begin(client)
    answered = hv01.answer_to(challenged)
    assert hv01.send(client, answered).status == 200
    path = export(tmp_path)
    lose_everything(settings)
    restore(path)
    assert hv01.send(client, answered).status != 200  # which answers were used is not known any more
    assert hv01.attest(client).status == 200


# ---- the attestation signer ----------------------------------------------------------------------------------------


def test_a_new_signer_signs_and_the_one_of_the_file_stays_trusted_for_the_overlap(
    hgs: Trusting, settings: Any, tmp_path: Path
) -> None:
    before = keys.primary_signer().fingerprint
    path = export(tmp_path)
    lose_everything(settings)
    signer = restore(path).signer
    assert keys.primary_signer().fingerprint == signer != before
    assert [item.state for item in keys.signers(ADMIN)] == ["signs", "trusted"]


def test_the_signer_can_be_kept(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    before = keys.primary_signer().fingerprint
    path = export(tmp_path)
    lose_everything(settings)
    assert restore(path, keep_signer=True).signer == ""
    assert keys.primary_signer().fingerprint == before


# ---- the key log ---------------------------------------------------------------------------------------------------


def test_a_restored_hgs_begins_a_new_log_under_another_name_and_key(
    hgs: Trusting, settings: Any, tmp_path: Path
) -> None:
    make_log(300)
    before, checkpoint = log_key(), bytes(LogHead.objects.get().checkpoint).decode()
    path = export(tmp_path)
    lose_everything(settings)
    done = restore(path)
    assert log_key().name == done.log_origin != before.name
    assert log_key().public_key != before.public_key
    assert not LogHead.objects.exists()
    assert not LogLeaf.objects.exists()
    assert not LogTile.objects.exists()
    assert set(KeyRelease.objects.values_list("log_index", flat=True)) == {None}
    assert KeyRelease.objects.count() == 300
    event = AuditEvent.objects.get(event="state:imported")
    assert "begins a new key log" in event.summary
    assert event.data["log_before"] == {"origin": before.name, "size": 300, "checkpoint": checkpoint}


def test_a_log_that_is_whole_goes_on_where_that_is_said(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    make_log(WHOLE_TILES)
    before, key = rows(), log_key()
    path = export(tmp_path)
    lose_everything(settings)
    restore(path, continue_log=True)
    after = rows()
    for kind in ("configuration", "release", "log-head", "log-leaf", "log-tile"):
        assert after[kind] == before[kind]
    assert log_key() == key
    assert open_checkpoint(bytes(LogHead.objects.get().checkpoint), key).size == WHOLE_TILES
    assert AuditEvent.objects.get(event="state:imported").data["log_continued"] is True


def test_a_log_that_goes_on_grows_from_where_it_ended(
    client: Client, hgs: Trusting, hv01: Host, settings: Any, tmp_path: Path
) -> None:
    certificate = hv01.attest(client).certificate
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    for _ in range(3):
        protector, _, _ = started(client, hv01, protector, certificate)
    checkpoint, key = open_checkpoint(bytes(LogHead.objects.get().checkpoint), log_key()), log_key()
    path = export(tmp_path)
    lose_everything(settings)
    restore(path, continue_log=True)
    started(client, hv01, protector, hv01.attest(client).certificate)
    assert log_damage() is None
    assert open_checkpoint(bytes(LogHead.objects.get().checkpoint), key).size == 4
    assert frontier_at(3).root() == checkpoint.root


def test_a_file_without_the_log_has_neither_its_key_nor_the_releases(
    hgs: Trusting, settings: Any, tmp_path: Path
) -> None:
    make_log(3)
    path = export(tmp_path, with_log=False)
    assert b'"release"' not in opened(path)
    assert b"key-log" not in opened(path).replace(ServiceConfiguration.objects.get().log_origin.encode(), b"")
    lose_everything(settings)
    with pytest.raises(Invalid, match="not in this file"):
        restore(path, continue_log=True)
    assert not ServiceConfiguration.objects.exists()
    restore(path)
    assert KeyRelease.objects.count() == 0
    assert log_key().name


def test_an_hgs_from_before_there_was_a_log_is_exported_too(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    ServiceKey.objects.filter(purpose=KeyPurpose.KEY_LOG).delete()
    ServiceConfiguration.objects.update(log_origin="")
    path = export(tmp_path)
    lose_everything(settings)
    with pytest.raises(Invalid, match="nothing can go on with it"):
        restore(path, continue_log=True)
    restore(path)
    assert log_key().name.startswith("open-guarded-fabric/key-log/")


# ---- keys in tokens ------------------------------------------------------------------------------------------------


def test_a_key_in_a_token_is_carried_by_reference(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    uri = "pkcs11:token=hgs;object=guardian"
    ServiceKey.objects.filter(purpose=KeyPurpose.GUARDIAN_ENCRYPTION).update(sealed_key=b"", pkcs11_uri=uri)
    before = ServiceKey.objects.get(pkcs11_uri=uri).fingerprint
    path = export(tmp_path)
    lose_everything(settings)
    done = restore(path)
    (found,) = done.found.in_tokens
    assert (found.purpose, found.fingerprint, found.pkcs11_uri) == ("guardian-encryption", before, uri)
    restored = ServiceKey.objects.get(pkcs11_uri=uri)
    assert (restored.fingerprint, bytes(restored.sealed_key)) == (before, b"")


# ---- writing -------------------------------------------------------------------------------------------------------


def test_a_file_is_for_its_owner_alone_and_shows_nothing(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    for word in (b"lab", b"hv01", b"configuration", b"guardian", lab().guardian.signing_certificate[50:100]):
        assert word not in content
    assert b'"hv01"' in opened(path), "the search finds what is there"


def test_exporting_is_an_event_with_fingerprints_and_counts(hgs: Trusting, tmp_path: Path) -> None:
    export(tmp_path)
    event = AuditEvent.objects.get(event="state:exported")
    assert event.data["counts"]["key"] == 5
    assert set(event.data["keys"]) == set(
        ServiceKey.objects.exclude(fingerprint="").values_list("fingerprint", flat=True)
    )


def test_a_file_that_is_there_is_replaced_only_where_that_is_said(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    before = path.read_bytes()
    with pytest.raises(Conflict, match="exists already"):
        export(tmp_path)
    assert path.read_bytes() == before
    export(tmp_path, force=True)
    assert path.read_bytes() != before
    assert inspect_state(ADMIN, path, PASSPHRASE).summary.head.name == "lab"


@pytest.mark.parametrize("force", [True, False])
def test_what_fails_halfway_leaves_no_file_and_touches_none(
    hgs: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    (tmp_path / "lab.hgs-state").write_bytes(b"the one of yesterday")
    target = tmp_path if force else tmp_path / "new"
    target.mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ServiceKey.objects.filter(purpose=KeyPurpose.COMMUNICATIONS).update(sealed_key=b"\x01 damaged, but long enough")
    with pytest.raises(Unavailable, match="another master key"):
        export(target, force=force)
    monkeypatch.setattr(exporting.audit, "record", _fail)
    ServiceKey.objects.filter(purpose=KeyPurpose.COMMUNICATIONS).delete()
    with pytest.raises(DatabaseError):
        export(target, force=force)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def _fail(*_: Any, **__: Any) -> None:
    raise DatabaseError("the disk is full")


@pytest.mark.parametrize("passphrase", ["", "elevenchars", "x" * 1025])
def test_a_passphrase_that_is_too_short_or_too_long_is_refused(hgs: Trusting, tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(Invalid, match="12 to 1024 characters"):
        export_state(ADMIN, tmp_path / "out", passphrase)
    assert not list(tmp_path.iterdir())


def test_an_hgs_that_is_not_initialised_has_nothing_to_export(db: None, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not initialised"):
        export(tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_an_administrator_exports_shows_and_imports(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    for actor in (FABRIC, REVIEWER, TENANT):
        with pytest.raises(Denied):
            export_state(actor, tmp_path / "other", PASSPHRASE)
        with pytest.raises(Denied):
            inspect_state(actor, path, PASSPHRASE)
        with pytest.raises(Denied):
            import_state(actor, path, PASSPHRASE)


# ---- importing into an HGS that has a state ------------------------------------------------------------------------


def test_an_hgs_that_is_initialised_is_left_alone(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    before = rows()
    with pytest.raises(Conflict, match="has a state already"):
        restore(path)
    assert rows() == before
    assert not AuditEvent.objects.filter(event="state:imported").exists()


def test_anything_that_hgs_trusts_is_a_state(hgs: Trusting, settings: Any, tmp_path: Path) -> None:
    path = export(tmp_path)
    lose_everything(settings)
    TpmHost.objects.create(name="hv77", ek_hash="ab" * 32, ek_public=b"key", policy_version=1, approved_at=NOW)
    with pytest.raises(Conflict, match="has a state already"):
        restore(path)


def test_a_state_is_replaced_whole_but_for_the_account_of_keys_and_revocations(
    client: Client, hgs: Trusting, hv01: Host, hv02: Host, tmp_path: Path
) -> None:
    make_log(3)
    hv01.attest(client)
    path = export(tmp_path)
    trust_before = rows()
    remove_host(ADMIN, TpmHost.objects.get(name="hv01"))
    hgs("host", "hv02", hv02.identity_file)
    later = KeyRelease.objects.create(at=NOW, released=False, log_index=3, reason="host-removed")
    revoked = RevokedProtector.objects.create(
        protector_hash="99" * 32, owner_fingerprint="34" * 32, notice_hash="56" * 32, at=NOW
    )
    events = AuditEvent.objects.count()

    restore(path, replace=True)

    assert rows()["tpm-host"] == trust_before["tpm-host"]
    assert KeyRelease.objects.count() == 4
    assert KeyRelease.objects.get(pk=later.pk).reason == "host-removed"
    assert set(KeyRelease.objects.values_list("log_index", flat=True)) == {None}
    assert RevokedProtector.objects.filter(pk=revoked.pk).exists()
    assert RevokedProtector.objects.count() == 2
    assert AuditEvent.objects.count() == events + 2
    assert verify_chain() is None
    assert hv01.attest(client).status == 200


def test_a_replacement_renews_the_stamp_so_that_nothing_is_judged_by_what_was(
    client: Client, hgs: Trusting, hv01: Host, tmp_path: Path
) -> None:
    path = export(tmp_path)
    hgs("ci-policy", "more", build_ci_policy("Others", (10, 0, 0, 7)))
    assert hv01.attest(client).status == 200
    stamp = ServiceConfiguration.objects.get().trust_stamp
    restore(path, replace=True)
    assert ServiceConfiguration.objects.get().trust_stamp != stamp


def test_nothing_is_replaced_under_a_node_that_serves(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    before = rows()
    node = beat()
    ClockReading.objects.update(at=node.at - timedelta(seconds=60))
    with pytest.raises(Conflict, match=f"served on {node.name} less than 90 seconds ago"):
        restore(path, replace=True)
    assert rows() == before
    ClockReading.objects.update(at=node.at - timedelta(seconds=91))
    restore(path, replace=True)


# ---- files that cannot be used -------------------------------------------------------------------------------------


def test_a_crash_in_the_middle_leaves_nothing(
    hgs: Trusting, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(tmp_path)
    lose_everything(settings)
    empty = rows()
    monkeypatch.setattr(importing.audit, "record", _fail)
    with pytest.raises(DatabaseError):
        restore(path)
    assert rows() == empty
    assert not AuditEvent.objects.exists()


def test_a_crash_in_a_replacement_leaves_what_was_there(
    hgs: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_log(3)
    path = export(tmp_path)
    before = rows()
    monkeypatch.setattr(importing, "renew_signer", _fail)
    with pytest.raises(DatabaseError):
        restore(path, replace=True)
    assert rows() == before


def test_a_wrong_passphrase_opens_nothing(hgs: Trusting, tmp_path: Path) -> None:
    path = export(tmp_path)
    with pytest.raises(StateFileError, match="passphrase is wrong"):
        inspect_state(ADMIN, path, PASSPHRASE + "?")


def test_two_imports_at_once_make_one_hgs(hgs: Trusting, settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    path = export(tmp_path)
    lose_everything(settings)

    def other_was_faster(**_: Any) -> None:
        initialise(ADMIN, mode=OperationMode.HOST_KEY, name="other")

    monkeypatch.setattr(importing, "_make_room", other_was_faster)
    with pytest.raises(Conflict, match="another import ran"):
        restore(path)
