"""`gf audit` and a portal: proving an owner's key, listing entries, and fetching the bundle that `verify` checks."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from hgs.keyprotection.certificates import grouped
from portal.accounts.commands import create_token
from tenants.commands.owner_proof import new_challenge, prove_owner
from tenants.models import ProvenOwner, VirtualMachine
from tenants.owner_proof import Challenge, verify_proof, write_challenge
from tests.cast import Cast, make_shielding_data
from tests.hgs.keyprotection.guardians import owner, stranger
from tests.hgs.transparency.bundles import VKEY as LOG_KEY
from tests.tenants.cli.conftest import Desk
from tests.tenants.cli.test_audit import LOG
from tests.tenants.cli.test_audit import OWNER as CERTIFICATE
from tests.tenants.fake_key_log import FakeKeyLog, serving
from tests.tenants.test_tenant_api import vm_of

OWNER = owner().guardian.fingerprint
VKEY = str(LOG_KEY)
UNTIL = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


def challenge(**changes: str) -> str:
    told = {"origin": "https://portal.example", "account": "anna", "owner": OWNER, "token": "Ab_-" * 16} | changes
    return write_challenge(Challenge(expires_at=UNTIL, **told))


def prove(desk: Desk, text: str, *more: str, typed: str | None = None) -> Any:
    keys = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    return desk.gf("audit", "prove-owner", text, *keys, *more, typed=typed)


# ---- offline


def test_a_challenge_is_signed_after_showing_whom_it_lets_in(desk: Desk) -> None:
    result = prove(desk, challenge(), typed="y\n")
    assert result.exit_code == 0
    for text in ("https://portal.example", "anna", grouped(OWNER)):
        assert text in result.stderr
    assert verify_proof(result.stdout.strip()).challenge.account == "anna"


def test_nothing_is_signed_where_nobody_confirms(desk: Desk) -> None:
    for typed, sentence in (("n\n", "Nothing was signed."), ("", "Nobody is there to ask")):
        result = prove(desk, challenge(), typed=typed)
        assert result.exit_code == 1
        assert sentence in result.stderr
        assert result.stdout == ""


def test_a_challenge_for_another_owner_is_refused(desk: Desk) -> None:
    result = prove(desk, challenge(owner=stranger().guardian.fingerprint), "--yes")
    assert result.exit_code == 1
    assert "for another owner" in result.stderr
    assert result.stdout == ""


def test_what_is_no_challenge_is_refused_before_the_passphrase_is_asked(desk: Desk) -> None:
    result = desk.gf("audit", "prove-owner", "gf-owner-challenge.9.x", "--owner", desk.path("owner.guardian"))
    assert result.exit_code == 1
    assert "not a challenge of a portal" in result.stderr


# ---- with a portal


@pytest.fixture
def key_log() -> Iterator[FakeKeyLog]:
    with serving(FakeKeyLog()) as log:
        log.vkey = VKEY
        yield log


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def vm(cast: Cast) -> VirtualMachine:
    data = make_shielding_data(cast.subscription, "own", owner_fingerprint=OWNER)
    with patch("fabric.dispatch._send"):
        made = vm_of(cast)
    VirtualMachine.objects.update(shielding_data=data)
    made.refresh_from_db()
    return made


@pytest.fixture
def at_portal(desk: Desk, cast: Cast, vm: VirtualMachine, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Desk:
    _, token = create_token(cast.as_owner, cast.owner, name="laptop")
    monkeypatch.setenv("GF_URL", live_server.url)
    monkeypatch.setenv("GF_TOKEN", token)
    return desk


def open_account(desk: Desk) -> str:
    keys = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    return desk.done("audit", "open", *keys)


def test_the_account_is_opened_in_one_step(at_portal: Desk, key_log: FakeKeyLog, cast: Cast) -> None:
    assert "is open to you" in open_account(at_portal)
    proven = ProvenOwner.objects.get()
    assert (proven.user, proven.owner_fingerprint, proven.proven_via) == (cast.owner, OWNER, "laptop")


def test_no_challenge_for_another_portal_is_signed_in_one_step(at_portal: Desk, key_log: FakeKeyLog) -> None:
    with patch("tenants.api.key_account.origin_of", return_value="https://elsewhere.example"):
        result = at_portal.gf(
            *("audit", "open", "--owner", at_portal.path("owner.guardian")),
            *("--passphrase-file", at_portal.path("passphrase")),
        )
    assert result.exit_code == 1
    assert "for https://elsewhere.example" in result.stderr
    assert not ProvenOwner.objects.exists()


def test_entries_of_a_vm_need_no_proof_and_those_of_an_owner_do(
    at_portal: Desk, key_log: FakeKeyLog, vm: VirtualMachine
) -> None:
    key_log.add(OWNER, vm.pk, offline=2)
    key_log.refuse(OWNER, uuid4())
    rows = json.loads(at_portal.done("audit", "entries", "--vm", "web01", "--output", "json"))
    assert [(row["index"], row["offline_starts"]) for row in rows] == [(0, 2)]
    refused = at_portal.gf("audit", "entries", "--owner", at_portal.path("owner.guardian"))
    assert refused.exit_code == 1
    assert "gf audit prove-owner" in refused.stderr
    open_account(at_portal)
    table = at_portal.done("audit", "entries", "--owner", grouped(OWNER))
    assert "The health certificate is over." in table
    assert "web01" in table


def test_entries_go_on_over_pages_up_to_the_limit(at_portal: Desk, key_log: FakeKeyLog) -> None:
    for _ in range(130):
        key_log.add(OWNER)
    open_account(at_portal)
    of_owner = ("audit", "entries", "--owner", at_portal.path("owner.guardian"), "--output", "json")
    assert len(json.loads(at_portal.done(*of_owner, "--limit", "120"))) == 120
    assert [row["index"] for row in json.loads(at_portal.done(*of_owner, "--limit", "1000"))] == list(
        range(129, -1, -1)
    )


def test_the_bundle_that_was_fetched_is_the_one_that_verifies_and_the_next_goes_on(
    at_portal: Desk, key_log: FakeKeyLog, tmp_path: Path
) -> None:
    open_account(at_portal)
    mine = ("--owner", at_portal.path("owner.guardian"))
    key_log.bundle = LOG.bundle(0, disclosures=LOG.disclosures(0, CERTIFICATE))
    assert "from entry 0 on" in at_portal.done("audit", "fetch", *mine, "-o", at_portal.path("first.zip"))
    at_portal.done("audit", "verify", at_portal.path("first.zip"), *mine, "--key", VKEY)
    key_log.bundle = LOG.bundle(20, disclosures=LOG.disclosures(20, CERTIFICATE))
    assert "from entry 20 on" in at_portal.done("audit", "fetch", *mine, "-o", at_portal.path("next.zip"))
    assert key_log.requests[-1].url.params["from"] == "20"
    assert "only grew since your last audit" in at_portal.done("audit", "verify", at_portal.path("next.zip"), *mine)
    at_portal.done("audit", "fetch", *mine, "--from", "5", "--force", "-o", at_portal.path("next.zip"))
    assert key_log.requests[-1].url.params["from"] == "5"


def test_a_bundle_is_not_fetched_without_a_proof_nor_over_a_file(at_portal: Desk, key_log: FakeKeyLog) -> None:
    mine = ("audit", "fetch", "--owner", at_portal.path("owner.guardian"), "-o")
    refused = at_portal.gf(*mine, at_portal.path("bundle.zip"))
    assert refused.exit_code == 1
    assert "not proven" in refused.stderr
    assert not (at_portal.folder / "bundle.zip").exists()
    assert at_portal.gf(*mine, at_portal.path("debian.vsc")).exit_code == 1


def test_hgs_being_away_ends_with_3(at_portal: Desk, key_log: FakeKeyLog) -> None:
    open_account(at_portal)
    key_log.away = True
    for command in ("entries", "fetch"):
        more = ("-o", at_portal.path("bundle.zip")) if command == "fetch" else ()
        result = at_portal.gf("audit", command, "--owner", at_portal.path("owner.guardian"), *more)
        assert result.exit_code == 3
        assert "does not answer" in result.stderr


def test_the_logs_key_is_shown_with_the_hash_to_compare(at_portal: Desk, key_log: FakeKeyLog) -> None:
    shown = json.loads(at_portal.done("audit", "log-key", "-o", at_portal.path("log.vkey"), "--output", "json"))
    assert shown["vkey"] == VKEY
    assert (at_portal.folder / "log.vkey").read_text() == f"{VKEY}\n"
    assert grouped(shown["fingerprint"]) in at_portal.done("audit", "log-key")


@pytest.mark.parametrize("text", ["no-such-file", "ab" * 31])
def test_what_names_no_owner_is_refused(at_portal: Desk, key_log: FakeKeyLog, text: str) -> None:
    result = at_portal.gf("audit", "entries", "--owner", text)
    assert result.exit_code == 1
    assert "neither a file nor a fingerprint" in result.stderr


def test_a_proof_signed_offline_opens_the_account(desk: Desk, cast: Cast, vm: VirtualMachine) -> None:
    asked = new_challenge(cast.as_owner, owner=OWNER, origin="https://portal.example")
    proof = prove(desk, asked, "--yes").stdout
    assert prove_owner(cast.as_owner, proof=proof).owner_fingerprint == OWNER
