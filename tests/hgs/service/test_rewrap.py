"""A new master key takes the place of an older one: all keys are sealed anew, or none."""

import json
import os
from base64 import b64encode
from typing import Any

import pytest
from click.testing import CliRunner
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from hgs import checks
from hgs.attestation.healthcert import make_signer
from hgs.commands import rewrap, signers
from hgs.commands.rewrap import rewrap_keys
from hgs.commands.signers import renew_signer
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, ServiceConfiguration, ServiceKey
from hgs.sealing import key_id, key_id_of, older_master_keys, seal, unseal
from hgs.selectors import keys
from portal.cli import gf
from portal.kernel.errors import Conflict, Denied, Unavailable
from portal.kernel.models import AuditEvent
from portal.settings import fabric as fabric_settings
from tests.hgs.attestation.tpm_hosts import NOW
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_cli import Terminal

FIRST, SECOND, THIRD = (os.urandom(32) for _ in range(3))
SIGNER = ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER)


@pytest.fixture(autouse=True)
def first_key(settings: Any) -> None:
    settings.HGS_MASTER_KEY = FIRST
    settings.HGS_MASTER_KEY_OLD = ()


@pytest.fixture
def between(initialised: None, settings: Any) -> None:
    """The new key is given, the older one still is."""
    settings.HGS_MASTER_KEY = SECOND
    settings.HGS_MASTER_KEY_OLD = (FIRST,)
    keys._open_pair.cache_clear()


def sealed_under() -> set[bytes]:
    return {key_id_of(bytes(row.sealed_key)) for row in ServiceKey.objects.exclude(sealed_key=b"")}


def everything() -> dict[str, bytes]:
    """The secrets, by what they are for."""
    rows = ServiceKey.objects.exclude(sealed_key=b"")
    return {row.purpose: unseal(bytes(row.sealed_key), purpose=row.purpose, record_id=row.id).reveal() for row in rows}


def test_both_keys_open_and_the_new_one_seals(between: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signers, "make_signer", make_signer)
    assert sealed_under() == {key_id(FIRST)}
    assert keys.attestation_signer().key.key_size == 2048
    renew_signer(ADMIN, NOW)
    assert {key_id_of(bytes(row.sealed_key)) for row in SIGNER} == {key_id(FIRST), key_id(SECOND)}


def test_after_a_rewrap_the_older_key_is_needed_no_more(between: None, settings: Any) -> None:
    before, stamp = everything(), ServiceConfiguration.objects.get().trust_stamp
    done = rewrap_keys(ADMIN)
    assert (done.sealed_anew, done.already, done.in_tokens, done.left) == (6, 0, 0, 0)
    settings.HGS_MASTER_KEY_OLD = ()
    assert sealed_under() == {key_id(SECOND)}
    assert everything() == before
    assert ServiceConfiguration.objects.get().trust_stamp != stamp
    settings.HGS_MASTER_KEY = FIRST
    with pytest.raises(Unavailable, match="another master key"):
        keys.exchange_state_keys()


def test_hosts_attest_through_a_change_of_the_master_key(
    client: Client, first_key: None, fabric: Trusting, hv01: Host, settings: Any
) -> None:
    assert hv01.attest(client).certificate
    settings.HGS_MASTER_KEY, settings.HGS_MASTER_KEY_OLD = SECOND, (FIRST,)
    challenged = hv01.begin(client)
    rewrap_keys(ADMIN)
    settings.HGS_MASTER_KEY_OLD = ()
    assert hv01.send(client, hv01.answer_to(challenged)).certificate
    assert hv01.attest(client).certificate


def test_the_event_names_keys_by_fingerprint_and_holds_no_secret(between: None) -> None:
    rewrap_keys(ADMIN)
    event = AuditEvent.objects.get(event="master-key:replaced")
    assert event.data["before"] == [key_id(FIRST).hex()]
    assert event.data["master_key"] == key_id(SECOND).hex()
    assert event.data["keys"] == 6
    assert set(event.data["fingerprints"]) == set(
        ServiceKey.objects.exclude(fingerprint="").values_list("fingerprint", flat=True)
    )
    assert FIRST.hex() not in str(event.data)
    assert SECOND.hex() not in str(event.data)


def test_a_second_rewrap_changes_nothing_and_is_no_event(between: None) -> None:
    rewrap_keys(ADMIN)
    before = sorted(bytes(row.sealed_key) for row in ServiceKey.objects.all())
    done = rewrap_keys(ADMIN)
    assert (done.sealed_anew, done.already) == (0, 6)
    assert sorted(bytes(row.sealed_key) for row in ServiceKey.objects.all()) == before
    assert AuditEvent.objects.filter(event="master-key:replaced").count() == 1


def test_a_key_that_does_not_open_leaves_all_as_they_were(between: None) -> None:
    signer = SIGNER.get()
    bent = bytes(signer.sealed_key)[:-1] + bytes([bytes(signer.sealed_key)[-1] ^ 1])
    SIGNER.update(sealed_key=bent)
    with pytest.raises(Unavailable, match="damaged"):
        rewrap_keys(ADMIN)
    assert sealed_under() == {key_id(FIRST)}
    assert not AuditEvent.objects.filter(event="master-key:replaced").exists()


def test_without_the_older_key_a_node_says_which_one_it_lacks(between: None, settings: Any) -> None:
    settings.HGS_MASTER_KEY_OLD = (THIRD,)
    with pytest.raises(Unavailable, match=f"another master key, {key_id(FIRST).hex()}.*HGS_MASTER_KEY_OLD"):
        rewrap_keys(ADMIN)
    assert sealed_under() == {key_id(FIRST)}


def test_a_key_that_changes_at_the_same_moment_is_not_overwritten(
    between: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_meanwhile = b"what another node wrote"

    def seal_slowly(secret: Secret, **of: Any) -> bytes:
        if of["purpose"] == KeyPurpose.ATTESTATION_SIGNER:
            SIGNER.update(sealed_key=made_meanwhile)
        return seal(secret, **of)

    monkeypatch.setattr(rewrap, "seal", seal_slowly)
    with pytest.raises(Conflict, match="changed at the same moment"):
        rewrap_keys(ADMIN)
    assert sealed_under() == {key_id(FIRST)}


def test_a_key_in_a_token_has_nothing_to_seal(between: None) -> None:
    SIGNER.update(sealed_key=b"", pkcs11_uri="pkcs11:token=hgs;object=signer")
    done = rewrap_keys(ADMIN)
    assert (done.sealed_anew, done.in_tokens) == (5, 1)
    assert bytes(SIGNER.get().sealed_key) == b""


def test_only_an_administrator_replaces_the_master_key(between: None) -> None:
    for actor in (FABRIC, REVIEWER):
        with pytest.raises(Denied):
            rewrap_keys(actor)


@pytest.mark.django_db
def test_the_command_lists_which_key_is_under_which_and_then_seals_anew(between: None) -> None:
    terminal = Terminal()
    rows = terminal.gf_json("rewrap", "--check")
    assert [(row["known"], row["master_key"]) for row in rows] == [("older", key_id(FIRST).hex())] * 6
    assert "6 keys sealed anew" in terminal.gf("rewrap")
    assert {row["known"] for row in terminal.gf_json("rewrap", "--check")} == {"present"}
    assert "6 were sealed under the present master key" in terminal.gf("rewrap")


def test_diagnostics_say_what_is_left_to_do(between: None) -> None:
    def told() -> dict[str, Any]:
        findings = json.loads(CliRunner().invoke(gf, ["hgs", "trace", "--detailed", "--json"]).stdout)["findings"]
        found: dict[str, Any] = next(item for item in findings if item["code"] == "older-master-keys")
        return found

    assert "gf hgs rewrap" in told()["remedy"]
    rewrap_keys(ADMIN)
    assert told()["result"] == "warning"
    assert "Remove HGS_MASTER_KEY_OLD" in told()["remedy"]


@pytest.mark.parametrize("older", ["text", (b"short",), ("a" * 32,), [bytes(32)]])
def test_older_keys_of_another_form_are_a_hard_error(settings: Any, older: object) -> None:
    settings.HGS_MASTER_KEY_OLD = older
    with pytest.raises(ImproperlyConfigured):
        older_master_keys()
    assert [message.id for message in checks.check_older_master_keys()] == ["hgs.E020"]


def test_a_key_that_is_present_and_older_at_once_is_a_warning(settings: Any) -> None:
    settings.HGS_MASTER_KEY_OLD = (FIRST,)
    assert [message.id for message in checks.check_older_master_keys()] == ["hgs.W020"]
    settings.HGS_MASTER_KEY_OLD = (SECOND,)
    assert checks.check_older_master_keys() == []


def test_older_keys_are_read_from_the_environment_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(key: bytes) -> str:
        return b64encode(key).decode()

    monkeypatch.setenv("HGS_MASTER_KEY_OLD", f"{text(FIRST)}, {text(SECOND)}")
    assert fabric_settings._master_keys("HGS_MASTER_KEY_OLD") == (FIRST, SECOND)
    for broken in ("no base64!", text(b"short"), f"{text(FIRST)};{text(SECOND)}"):
        monkeypatch.setenv("HGS_MASTER_KEY_OLD", broken)
        with pytest.raises(ImproperlyConfigured, match="HGS_MASTER_KEY_OLD"):
            fabric_settings._master_keys("HGS_MASTER_KEY_OLD")


def test_two_present_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HGS_MASTER_KEY", f"{b64encode(FIRST).decode()},{b64encode(SECOND).decode()}")
    with pytest.raises(ImproperlyConfigured, match="one key"):
        fabric_settings._master_key()
