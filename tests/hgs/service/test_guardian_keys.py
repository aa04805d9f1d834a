"""The guardian's keys over their life: added, primary, expired, disabled, removed; and what each opens meanwhile."""

import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from django.db import connections
from django.test import Client

from hgs.commands import guardian_keys as commands
from hgs.keyprotection.certificates import issue_self_signed
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import Protector, new_protector, verify_protector
from hgs.keyprotection.release import open_response
from hgs.keyprotection.secret import Secret
from hgs.models import DependentsReport, KeyPurpose, KeyRelease, ServiceKey
from hgs.selectors import keys
from hgs.selectors.guardian_keys import expiry_in_words, guardian_key_view, guardian_key_views
from hgs.wire import kps
from portal.kernel.actor import Actor
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, Invalid, Unavailable
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import NOW as MADE
from tests.hgs.keyprotection.guardians import branch, lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host, roll

PASSWORD = Secret(b"correct horse")
SIGNING, ENCRYPTION = KeyPurpose.GUARDIAN_SIGNING, KeyPurpose.GUARDIAN_ENCRYPTION
GUARDIAN_KEYS = ServiceKey.objects.filter(purpose__in=[SIGNING, ENCRYPTION])


pytestmark = pytest.mark.usefixtures("keys_in_stock")


@pytest.fixture
def certificate(client: Client, fabric: Trusting, hv01: Host) -> bytes:
    """hv01's health certificate."""
    return hv01.attest(client).certificate


def published() -> Guardian:
    """The guardian that tenants import now."""
    return parse_metadata(keys.guardian_metadata()).verify("lab").guardian


def pfx(guardian: GuardianKeys, use: str) -> bytes:
    key, der = material(guardian, use)
    loaded = x509.load_der_x509_certificate(der)
    return pkcs12.serialize_key_and_certificates(None, key, loaded, None, BestAvailableEncryption(PASSWORD.reveal()))


def material(guardian: GuardianKeys, use: str) -> tuple[rsa.RSAPrivateKey, bytes]:
    if use == "signing":
        return guardian.signing_key, guardian.guardian.signing_certificate
    return guardian.encryption_key, guardian.guardian.encryption_certificate


def add(guardian: GuardianKeys, use: Any, *, primary: bool = False) -> ServiceKey:
    return commands.add_from_pfx(ADMIN, use, pfx(guardian, use), PASSWORD, primary=primary)


def primary(purpose: KeyPurpose) -> ServiceKey:
    return ServiceKey.objects.get(purpose=purpose, is_primary=True)


def rolled(client: Client, protector: Protector, certificate: bytes, host: Host) -> Protector:
    """The protector that HGS returns, checked as a host checks it."""
    request, response = roll(client, protector, certificate)
    assert response.status_code == 200, response.content
    return open_response(kps.parse_response(response.content), request, host.decrypt).egress_protector


def refusal(client: Client, protector: Protector, certificate: bytes) -> str:
    _, response = roll(client, protector, certificate)
    assert response.status_code != 200
    return KeyRelease.objects.latest("at").reason


# ---- a rollover ----------------------------------------------------------------------------------------------------


def test_tenants_get_the_new_pair_and_the_old_protectors_still_roll(
    client: Client, certificate: bytes, hv01: Host, clock: Clock
) -> None:
    old, _ = new_protector(owner(), [published()], os.urandom)
    clock.forward(minutes=1)
    signing, encryption = commands.new_pair(ADMIN, primary=True)
    after = published()
    assert after.signing_certificate == bytes(signing.certificate)
    assert after.encryption_certificate == bytes(encryption.certificate)
    assert after.other_signing_certificates == (lab().guardian.signing_certificate,)
    new, _ = new_protector(owner(), [after], os.urandom)
    again = rolled(client, rolled(client, old, certificate, hv01), certificate, hv01)
    assert verify_protector(again).signer.signing_certificate == lab().guardian.signing_certificate
    signer = verify_protector(rolled(client, new, certificate, hv01)).signer
    assert signer.signing_certificate == bytes(signing.certificate)


def test_a_protector_for_both_pairs_is_opened_by_the_primary_one(
    client: Client, certificate: bytes, hv01: Host
) -> None:
    before = published()
    signing, _ = commands.new_pair(ADMIN, primary=True)
    both, _ = new_protector(owner(), [before, published()], os.urandom)
    signer = verify_protector(rolled(client, both, certificate, hv01)).signer
    assert signer.signing_certificate == bytes(signing.certificate)


@pytest.mark.parametrize("mixed", [True, False])
def test_wrappings_name_any_signing_key_with_any_encryption_key(
    client: Client, certificate: bytes, hv01: Host, mixed: bool
) -> None:
    """Where the two were not changed together, tenants got an old one with a new one for a while."""
    commands.generate_key(ADMIN, "signing" if mixed else "encryption", primary=True)
    between = published()
    commands.generate_key(ADMIN, "encryption" if mixed else "signing", primary=True)
    protector, _ = new_protector(owner(), [between], os.urandom)
    egress = rolled(client, protector, certificate, hv01)
    assert verify_protector(egress).signer.signing_certificate == between.signing_certificate


def test_a_disabled_pair_opens_nothing_and_opens_again_when_enabled(
    client: Client, certificate: bytes, hv01: Host
) -> None:
    protector, _ = new_protector(owner(), [published()], os.urandom)
    old = list(GUARDIAN_KEYS.all())
    commands.new_pair(ADMIN, primary=True)
    for key in old:
        commands.disable_key(ADMIN, key)
    assert published().other_signing_certificates == ()
    assert refusal(client, protector, certificate) == "not-a-guardian"
    for key in old:
        commands.enable_key(ADMIN, key)
    assert rolled(client, protector, certificate, hv01)


def test_without_the_signing_key_it_names_a_protector_is_not_rolled(client: Client, certificate: bytes) -> None:
    protector, _ = new_protector(owner(), [published()], os.urandom)
    old = primary(SIGNING)
    commands.generate_key(ADMIN, "signing", primary=True)
    commands.disable_key(ADMIN, old)
    assert refusal(client, protector, certificate) == "no-signing-key"


def test_a_removed_pair_is_gone(client: Client, certificate: bytes) -> None:
    protector, _ = new_protector(owner(), [published()], os.urandom)
    old = list(GUARDIAN_KEYS.all())
    commands.new_pair(ADMIN, primary=True)
    commands.remove_keys(ADMIN, *old)
    assert GUARDIAN_KEYS.count() == 2
    assert refusal(client, protector, certificate) == "not-a-guardian"


def test_what_is_disabled_leaves_the_memory_of_the_node(client: Client, initialised: None) -> None:
    assert len(keys.guardian_keys()) == 1
    keys.guardian_keys()[0]
    old = list(GUARDIAN_KEYS.all())
    commands.new_pair(ADMIN, primary=True)
    for key in old:
        commands.disable_key(ADMIN, key)
    found = keys.guardian_keys()
    assert not found._opened
    assert not found._made
    assert keys.guardian_keys() is found


# ---- adding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["signing", "encryption"])
def test_a_key_of_a_pfx_file_is_added_and_is_not_the_primary_one(initialised: None, use: Any) -> None:
    before = published()
    added = add(branch(), use)
    assert (added.is_primary, added.is_enabled, added.pkcs11_uri) == (False, True, "")
    assert keys.open_pair(added).key.private_numbers() == material(branch(), use)[0].private_numbers()
    others = (branch().guardian.signing_certificate,) if use == "signing" else ()
    assert published().other_signing_certificates == others
    assert published().signing_certificate == before.signing_certificate
    event = AuditEvent.objects.get(event="guardian-key:added")
    assert event.data["fingerprint"] == added.fingerprint
    assert verify_chain() is None


def test_the_pair_of_another_hgs_opens_what_was_made_for_that(client: Client, certificate: bytes, hv01: Host) -> None:
    protector, _ = new_protector(owner(), [branch().guardian], os.urandom)
    assert refusal(client, protector, certificate) == "not-a-guardian"
    for use in ("signing", "encryption"):
        add(branch(), use)
    egress = rolled(client, protector, certificate, hv01)
    assert verify_protector(egress).signer.signing_certificate == branch().guardian.signing_certificate


def test_a_key_is_added_from_pem_files(initialised: None) -> None:
    key, der = material(branch(), "signing")
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.reveal()))
    added = commands.add_from_files(ADMIN, "signing", pem, private, PASSWORD, primary=True)
    assert added.is_primary
    assert published().signing_certificate == der


def test_no_private_key_that_was_added_is_in_the_database_in_clear(initialised: None) -> None:
    add(branch(), "signing")
    numbers = branch().signing_key.private_numbers()
    private = branch().signing_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT sealed_key FROM hgs_servicekey")
        content = b"".join(bytes(row[0]) for row in cursor.fetchall())
    assert private not in content
    assert numbers.p.to_bytes(128) not in content


def test_the_same_certificate_again_is_refused(initialised: None) -> None:
    add(branch(), "signing")
    before = AuditEvent.objects.count()
    with pytest.raises(Conflict) as refused:
        add(branch(), "signing")
    assert refused.value.code == "key-known"
    assert (GUARDIAN_KEYS.count(), AuditEvent.objects.count()) == (3, before)


def certificate_for(key: rsa.RSAPrivateKey, usage: x509.KeyUsage | None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made elsewhere")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(MADE)
        .not_valid_after(MADE + timedelta(days=1))
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def add_with(use: Any, key: rsa.RSAPrivateKey, certificate: bytes) -> ServiceKey:
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return commands.add_from_files(ADMIN, use, certificate, private, Secret(b""))


@pytest.mark.parametrize(
    ("use", "allowed"),
    [
        ("signing", usage(digital_signature=True)),
        ("encryption", usage(data_encipherment=True)),
        ("encryption", usage(key_encipherment=True)),
        ("signing", None),
    ],
)
def test_certificates_that_allow_the_use_are_taken(initialised: None, use: str, allowed: x509.KeyUsage | None) -> None:
    key = branch().signing_key
    assert add_with(use, key, certificate_for(key, allowed)).is_enabled


@pytest.mark.parametrize(
    ("use", "allowed"),
    [
        ("signing", usage(key_encipherment=True)),
        ("encryption", usage(digital_signature=True)),
        ("encryption", usage(key_agreement=True)),
    ],
)
def test_certificates_of_another_use_are_refused(initialised: None, use: str, allowed: x509.KeyUsage) -> None:
    key = branch().signing_key
    with pytest.raises(Invalid) as refused:
        add_with(use, key, certificate_for(key, allowed))
    assert refused.value.code == "key-usage"
    assert GUARDIAN_KEYS.count() == 2


def test_a_short_key_is_refused(initialised: None) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - refused is the point
    with pytest.raises(Invalid) as refused:
        add_with("signing", key, certificate_for(key, None))
    assert refused.value.code == "key-size"


def test_a_wrong_password_adds_nothing(initialised: None) -> None:
    with pytest.raises(Invalid):
        commands.add_from_pfx(ADMIN, "signing", pfx(branch(), "signing"), Secret(b"wrong"))
    assert GUARDIAN_KEYS.count() == 2


def test_no_more_keys_are_added_than_the_metadata_has_room_for(
    initialised: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ENABLED_MAX", 2)
    added = add(branch(), "signing")
    with pytest.raises(Conflict) as refused:
        commands.generate_key(ADMIN, "signing")
    assert refused.value.code == "too-many-keys"
    commands.disable_key(ADMIN, added)
    third = commands.generate_key(ADMIN, "signing")
    with pytest.raises(Conflict):
        commands.enable_key(ADMIN, added)
    assert third.is_enabled


def test_so_many_other_certificates_fit_in_the_metadata(initialised: None) -> None:
    for number in range(commands.ENABLED_MAX - 1):
        key = lab().signing_key
        add_with("signing", key, issue_self_signed(f"n{number}", key, "signing", MADE))
    assert len(published().other_signing_certificates) == 16


def test_an_hgs_that_is_not_initialised_takes_no_key(db: None) -> None:
    with pytest.raises(Unavailable):
        add(branch(), "signing")
    with pytest.raises(Unavailable):
        commands.new_pair(ADMIN)


def test_a_fresh_key_is_of_the_size_we_make(initialised: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    added = commands.generate_key(ADMIN, "encryption")
    assert keys.open_pair(added).key.key_size == 3072


# ---- renewed certificates ------------------------------------------------------------------------------------------


def renewed(use: Any, guardian: GuardianKeys | None = None) -> bytes:
    key, _ = material(guardian or lab(), use)
    return issue_self_signed("renewed", key, use, MADE + timedelta(days=400))


@pytest.mark.parametrize("use", ["signing", "encryption"])
def test_a_renewed_certificate_is_known_by_its_key_and_opens_the_same(
    client: Client, certificate: bytes, hv01: Host, use: Any
) -> None:
    old, _ = new_protector(owner(), [published()], os.urandom)
    before = primary(commands.PURPOSES[use])
    added = commands.add_renewed_certificate(ADMIN, use, renewed(use), primary=True)
    assert AuditEvent.objects.get(event="guardian-key:added").data["renews"] == [before.fingerprint]
    assert added.is_primary
    new, _ = new_protector(owner(), [published()], os.urandom)
    for protector in (old, new):
        assert rolled(client, protector, certificate, hv01)


def test_a_certificate_of_a_key_that_hgs_has_not_is_refused(initialised: None) -> None:
    with pytest.raises(Invalid) as refused:
        commands.add_renewed_certificate(ADMIN, "signing", branch().guardian.signing_certificate)
    assert refused.value.code == "key-unknown"


def test_the_certificates_of_one_key_are_enabled_and_disabled_together(initialised: None) -> None:
    first = add(branch(), "encryption")
    second = commands.add_renewed_certificate(ADMIN, "encryption", renewed("encryption", branch()))
    commands.disable_key(ADMIN, second)
    assert not GUARDIAN_KEYS.filter(pk__in=[first.pk, second.pk], is_enabled=True).exists()
    third = commands.add_renewed_certificate(
        ADMIN, "encryption", issue_self_signed("x", branch().encryption_key, "encryption", MADE + timedelta(days=1))
    )
    assert not third.is_enabled
    commands.enable_key(ADMIN, first)
    assert GUARDIAN_KEYS.filter(pk__in=[first.pk, second.pk, third.pk], is_enabled=True).count() == 3


def test_an_old_certificate_of_the_primary_key_cannot_be_disabled_but_removed(initialised: None) -> None:
    old = primary(ENCRYPTION)
    commands.add_renewed_certificate(ADMIN, "encryption", renewed("encryption"), primary=True)
    with pytest.raises(Conflict) as refused:
        commands.disable_key(ADMIN, old)
    assert refused.value.code == "primary-key"
    commands.remove_keys(ADMIN, old)
    assert GUARDIAN_KEYS.filter(purpose=ENCRYPTION).count() == 1


# ---- expiry --------------------------------------------------------------------------------------------------------


def test_expired_certificates_open_as_before(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    for use in ("signing", "encryption"):
        key, _ = material(branch(), use)
        short = issue_self_signed("ended long ago", key, use, MADE, timedelta(days=1))  # type: ignore[arg-type]
        added = add_with(use, key, short)
        commands.make_primary(ADMIN, added)
    protector, _ = new_protector(owner(), [published()], os.urandom)
    assert rolled(client, protector, hv01.attest(client).certificate, hv01)
    views = [view for view in guardian_key_views(REVIEWER, clock.now) if view.is_primary]
    assert [view.is_expired for view in views] == [True, True]
    assert all("expired" in view.expiry and view.expiry.endswith("days ago") for view in views)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=12, hours=5), "12 days left"),
        (timedelta(days=1), "1 day left"),
        (timedelta(hours=3), "less than a day left"),
        (timedelta(0), "expired today"),
        (-timedelta(hours=3), "expired today"),
        (-timedelta(days=1), "expired 1 day ago"),
        (-timedelta(days=700), "expired 700 days ago"),
    ],
)
def test_what_is_left_is_said_in_words(left: timedelta, words: str) -> None:
    assert expiry_in_words(MADE + left, MADE) == words


# ---- primary -------------------------------------------------------------------------------------------------------


def test_a_pair_is_made_primary_in_one_step_or_not_at_all(initialised: None) -> None:
    signing, encryption = commands.new_pair(ADMIN)
    before = published()
    commands.disable_key(ADMIN, encryption)
    with pytest.raises(Conflict) as refused:
        commands.make_primary(ADMIN, signing, encryption)
    assert refused.value.code == "key-disabled"
    assert published() == before
    commands.enable_key(ADMIN, encryption)
    commands.make_primary(ADMIN, signing, encryption)
    assert published().encryption_certificate == bytes(encryption.certificate)
    assert AuditEvent.objects.filter(event="guardian-key:made-primary").count() == 2
    commands.make_primary(ADMIN, signing, encryption)
    assert AuditEvent.objects.filter(event="guardian-key:made-primary").count() == 2


def test_two_keys_of_one_purpose_are_not_both_primary(initialised: None) -> None:
    first, _ = commands.new_pair(ADMIN)
    second, _ = commands.new_pair(ADMIN)
    with pytest.raises(Invalid):
        commands.make_primary(ADMIN, first, second)


def test_a_key_that_does_not_open_is_not_made_primary(initialised: None) -> None:
    added = add(branch(), "signing")
    GUARDIAN_KEYS.filter(pk=added.pk).update(sealed_key=bytes(64))
    before = published()
    with pytest.raises(Unavailable):
        commands.make_primary(ADMIN, added)
    assert published() == before


@pytest.mark.parametrize("change", [commands.disable_key, commands.remove_keys])
@pytest.mark.parametrize("force", [False, True])
def test_a_primary_key_is_neither_disabled_nor_removed(initialised: None, change: Any, force: bool) -> None:
    for purpose in (SIGNING, ENCRYPTION):
        with pytest.raises(Conflict) as refused:
            change(ADMIN, primary(purpose), force=force)
        assert refused.value.code == "primary-key"
    assert GUARDIAN_KEYS.filter(is_primary=True, is_enabled=True).count() == 2


def test_keys_of_another_purpose_are_none_of_the_guardian_s(initialised: None) -> None:
    signer = ServiceKey.objects.get(purpose=KeyPurpose.ATTESTATION_SIGNER)
    for change in (commands.make_primary, commands.disable_key, commands.enable_key, commands.remove_keys):
        with pytest.raises(Conflict) as refused:
            change(ADMIN, signer)
        assert refused.value.code == "key-gone"


# ---- who, and what is noted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("actor", [REVIEWER, FABRIC, TENANT])
def test_only_an_administrator_manages_keys(initialised: None, actor: Actor) -> None:
    key = primary(SIGNING)
    for change in (
        lambda: commands.add_from_pfx(actor, "signing", b"", PASSWORD),
        lambda: commands.add_from_files(actor, "signing", b"", b"", PASSWORD),
        lambda: commands.add_renewed_certificate(actor, "signing", b""),
        lambda: commands.add_from_token(actor, "signing", ""),
        lambda: commands.generate_key(actor, "signing"),
        lambda: commands.new_pair(actor),
        lambda: commands.make_primary(actor, key),
        lambda: commands.enable_key(actor, key),
        lambda: commands.disable_key(actor, key),
        lambda: commands.remove_keys(actor, key),
    ):
        with pytest.raises(Denied):
            change()


def test_every_change_is_one_audit_event_and_none_without_a_change(initialised: None) -> None:
    def events() -> list[str]:
        found = AuditEvent.objects.filter(event__startswith="guardian-key:").order_by("sequence")
        return [event.event.removeprefix("guardian-key:") for event in found]

    added = add(branch(), "encryption")
    commands.enable_key(ADMIN, added)
    commands.make_primary(ADMIN, added)
    old = GUARDIAN_KEYS.get(purpose=ENCRYPTION, is_primary=False)
    commands.disable_key(ADMIN, old)
    commands.disable_key(ADMIN, old)
    commands.enable_key(ADMIN, old)
    commands.remove_keys(ADMIN, old)
    assert events() == ["added", "made-primary", "disabled", "enabled", "removed"]
    assert verify_chain() is None


def test_every_node_notices_each_change(initialised: None) -> None:
    """What a node keeps hangs on the stamp, and each change renews it."""
    added = add(branch(), "encryption")
    seen = [keys.guardian_keys()]
    for change in (
        lambda: commands.make_primary(ADMIN, added),
        lambda: commands.disable_key(ADMIN, GUARDIAN_KEYS.get(purpose=ENCRYPTION, is_primary=False)),
        lambda: commands.enable_key(ADMIN, GUARDIAN_KEYS.get(purpose=ENCRYPTION, is_primary=False)),
        lambda: commands.remove_keys(ADMIN, GUARDIAN_KEYS.get(purpose=ENCRYPTION, is_primary=False)),
    ):
        change()
        assert keys.guardian_keys() is not seen[-1]
        seen.append(keys.guardian_keys())
    assert [len(found) for found in seen] == [2, 2, 1, 2, 1]


# ---- dependents ----------------------------------------------------------------------------------------------------


def used_by(key: ServiceKey, clock: Clock) -> None:
    KeyRelease.objects.create(
        at=clock.now, released=True, vm_id=uuid4(), guardian_fingerprint=key.fingerprint, owner_fingerprint="a" * 64
    )


@pytest.mark.parametrize("change", [commands.disable_key, commands.remove_keys])
def test_a_key_in_use_goes_only_by_force_and_the_log_says_what_is_lost(
    initialised: None, clock: Clock, change: Any
) -> None:
    old = primary(ENCRYPTION)
    used_by(old, clock)
    DependentsReport.objects.create(
        at=clock.now,
        dependents=[
            {"kind": "shielding-data", "id": "sd-1", "name": "web", "owner_fingerprint": "b" * 64,
             "guardians": [old.fingerprint]}
        ],
    )  # fmt: skip
    commands.new_pair(ADMIN, primary=True)
    with pytest.raises(Conflict) as refused:
        change(ADMIN, old)
    assert refused.value.code == "key-in-use"
    assert "1 virtual machine and 1 shielding data file" in refused.value.message
    assert refused.value.details["count"] == 2
    assert GUARDIAN_KEYS.filter(pk=old.pk, is_enabled=True).exists()
    change(ADMIN, old, force=True)
    event = AuditEvent.objects.latest("sequence")
    assert "Lost with it: 1 virtual machine and 1 shielding data file." in event.summary
    assert [one["id"] for one in event.data["lost"]["first"]][1] == "sd-1"


def test_removing_is_all_or_nothing(initialised: None, clock: Clock) -> None:
    signing, encryption = primary(SIGNING), primary(ENCRYPTION)
    used_by(encryption, clock)
    clock.forward(minutes=1)
    commands.new_pair(ADMIN, primary=True)
    with pytest.raises(Conflict):
        commands.remove_keys(ADMIN, signing, encryption)
    assert GUARDIAN_KEYS.count() == 4


def test_the_signing_key_is_needed_as_long_as_the_encryption_key_of_its_time(initialised: None, clock: Clock) -> None:
    signing, encryption = primary(SIGNING), primary(ENCRYPTION)
    clock.forward(minutes=1)
    commands.new_pair(ADMIN, primary=True)
    clock.forward(minutes=1)
    used_by(encryption, clock)
    used_by(primary(ENCRYPTION), clock)
    signing.refresh_from_db()
    assert guardian_key_view(signing, clock.now).dependents.count == 1
    with pytest.raises(Conflict) as refused:
        commands.remove_keys(ADMIN, signing)
    assert refused.value.code == "key-in-use"
    commands.remove_keys(ADMIN, signing, encryption, force=True)
    assert GUARDIAN_KEYS.count() == 2


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_what_uses_the_new_pair_does_not_hold_the_old_one(
    initialised: None, clock: Clock, monkeypatch: pytest.MonkeyPatch, at_once: bool, together: bool
) -> None:
    def ticking() -> Any:
        clock.forward(milliseconds=1)
        return clock.now

    monkeypatch.setattr("django.utils.timezone.now", ticking)
    signing, encryption = primary(SIGNING), primary(ENCRYPTION)
    pair = commands.new_pair(ADMIN, primary=at_once)
    if not at_once:
        commands.make_primary(ADMIN, *reversed(pair))
    used_by(pair[1], clock)
    for keys_ in ((signing, encryption),) if together else ((encryption,), (signing,)):
        commands.remove_keys(ADMIN, *keys_)
    assert GUARDIAN_KEYS.count() == 2


def test_an_old_signing_key_is_held_by_an_encryption_key_that_it_was_used_with(initialised: None, clock: Clock) -> None:
    """Where the two were not changed together, protectors name the old one beside the new one."""
    signing = primary(SIGNING)
    clock.forward(minutes=1)
    encryption = commands.generate_key(ADMIN, "encryption", primary=True)
    clock.forward(minutes=1)
    commands.generate_key(ADMIN, "signing", primary=True)
    used_by(encryption, clock)
    with pytest.raises(Conflict) as refused:
        commands.remove_keys(ADMIN, signing)
    assert refused.value.code == "key-in-use"


def test_imported_keys_hold_each_other(initialised: None, clock: Clock) -> None:
    signing, encryption = add(branch(), "signing"), add(branch(), "encryption")
    used_by(encryption, clock)
    with pytest.raises(Conflict):
        commands.disable_key(ADMIN, signing)
    used_by(primary(ENCRYPTION), clock)
    assert guardian_key_view(signing, clock.now).dependents.count == 1


def test_a_machine_moves_from_the_old_key_to_the_new_one_with_its_next_release(
    client: Client, certificate: bytes, clock: Clock
) -> None:
    vm, old = uuid4(), primary(ENCRYPTION)
    before = published()
    protector, _ = new_protector(owner(), [before], os.urandom)
    assert roll(client, protector, certificate, HTTP_VIRTUAL_MACHINE=str(vm))[1].status_code == 200
    clock.forward(minutes=1)
    commands.new_pair(ADMIN, primary=True)
    assert [one.id for one in guardian_key_view(old, clock.now).dependents.first] == [str(vm)]
    granted, _ = new_protector(owner(), [before, published()], os.urandom)
    assert roll(client, granted, certificate, HTTP_VIRTUAL_MACHINE=str(vm))[1].status_code == 200
    assert guardian_key_view(old, clock.now).dependents.count == 0
    assert guardian_key_view(primary(ENCRYPTION), clock.now).dependents.count == 1
    commands.remove_keys(ADMIN, old)
