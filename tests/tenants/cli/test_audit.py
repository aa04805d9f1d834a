"""`gf audit`: proven growth is remembered, and every lie ends with a sentence and exit code 1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.metadata import CommunicationsKey, serialise_metadata
from hgs.keyprotection.protector import new_protector, serialise_protector
from hgs.transparency.checkpoint import sign_checkpoint, signing_key
from hgs.transparency.entry import KeyEvent
from hgs.transparency.note import VerifierKey
from tests.hgs.keyprotection.guardians import counted_random, lab, owner, stranger
from tests.hgs.transparency.bundles import ORIGIN, VKEY, Log, members_of, zipped
from tests.hgs.transparency.events import REFUSAL, RELEASE, VM, Entry, entry_of
from tests.tenants.cli.conftest import Desk

OWNER = owner().guardian.signing_certificate
NEIGHBOUR = stranger().guardian.signing_certificate
OTHER_VM = "99999999-4455-6677-8899-aabbccddeeff"


def entry(number: int) -> Entry:
    """The owner's at even numbers; every sixth of all is a refusal of another virtual machine."""
    event: KeyEvent = replace(REFUSAL, vm=OTHER_VM) if number % 6 == 0 else RELEASE
    return entry_of(event, NEIGHBOUR if number % 2 else OWNER, number)


LOG = Log(tuple(entry(number) for number in range(20)))


class Books(Desk):
    """A desk with bundles on it."""

    def put(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return self.path(name)

    def bundle(self, size: int = 20, begin: int = 0, log: Log = LOG) -> str:
        """A bundle of the log's first entries, from `begin` on."""
        part = Log(log.entries[:size])
        return self.put(f"{begin}-{size}.zip", part.bundle(begin, disclosures=part.disclosures(begin, OWNER)))

    def verify(self, bundle: str, *more: str, typed: str | None = None) -> object:
        return self.gf("audit", "verify", bundle, "--owner", self.path("owner.guardian"), *more, typed=typed)

    def verified(self, bundle: str, *more: str) -> dict[str, object]:
        arguments = ("audit", "verify", bundle, "--owner", self.path("owner.guardian"), "--output", "json", *more)
        found = json.loads(self.done(*arguments))
        assert isinstance(found, dict)
        return found

    def refused(self, bundle: str, *more: str) -> str:
        result = self.gf("audit", "verify", bundle, "--owner", self.path("owner.guardian"), *more)
        assert result.exit_code == 1
        assert result.stdout == ""
        return result.stderr


@pytest.fixture
def books(desk: Desk) -> Books:
    return Books(desk.folder)


@pytest.fixture
def pinned(books: Books) -> Books:
    books.done("audit", "key", str(VKEY))
    return books


def test_a_whole_log_is_proven_in_words(pinned: Books) -> None:
    told = pinned.done("audit", "verify", pinned.bundle(), "--owner", pinned.path("owner.guardian"))
    assert "Proven: these are all entries that the log's key signed" in told
    assert "20, of which 20 from 0 on were looked at" in told
    assert "10: 6 released, 4 refused" in told
    assert grouped(owner().guardian.fingerprint) in told
    assert VM in told
    assert OTHER_VM in told


def test_each_entry_is_listed_when_asked_for(pinned: Books) -> None:
    told = pinned.done("audit", "verify", pinned.bundle(), "--owner", pinned.path("owner.guardian"), "--list")
    lines = told[told.index("ENTRY") :].splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == list(range(0, 20, 2))
    assert "hv01" in lines[0]
    assert "Der Host ist „weg“." in lines[0]


def test_programs_get_everything_as_json(pinned: Books) -> None:
    found = pinned.verified(pinned.bundle(), "--list")
    assert (found["log"], found["size"], found["yours"], found["new"]) == (ORIGIN, 20, 10, 10)
    assert found["root"] == LOG.checkpoint().root.hex()
    assert found["machines"] == [
        {"vm": VM, "released": 6, "refused": 0, "last_at": RELEASE.at.isoformat()},
        {"vm": OTHER_VM, "released": 0, "refused": 4, "last_at": RELEASE.at.isoformat()},
    ]
    entries = found["entries"]
    assert isinstance(entries, list)
    assert entries[1] == {
        **{name: getattr(RELEASE, name) for name in entries[1] if name not in ("index", "at")},
        "index": 2,
        "at": RELEASE.at.isoformat(),
    }


def test_each_audit_goes_on_where_the_last_one_ended(pinned: Books) -> None:
    assert pinned.verified(pinned.bundle(8))["yours"] == 4
    found = pinned.verified(pinned.bundle(15, begin=8))
    assert (found["from"], found["yours"], found["new"]) == (8, 4, 4)
    assert found["known_released"] == 5
    assert found["known_refused"] == 3
    told = pinned.done("audit", "verify", pinned.bundle(16, begin=8), "--owner", pinned.path("owner.guardian"))
    assert "Proven: the log only grew since your last audit" in told
    overlap = pinned.verified(pinned.bundle(20, begin=0))
    assert (overlap["yours"], overlap["new"]) == (10, 2)
    assert overlap["known_released"] == 6
    assert overlap["known_refused"] == 4


def test_a_log_that_was_rewritten_since_the_last_audit_is_refused_for_ever(pinned: Books) -> None:
    pinned.verified(pinned.bundle(8))
    rewritten = Log((*LOG.entries[:3], entry(103), *LOG.entries[4:]))
    for begin in (0, 8):
        assert "The log was rewritten" in pinned.refused(pinned.bundle(20, begin, rewritten))
    assert pinned.verified(pinned.bundle(20, 8))["known_released"] == 6


@pytest.mark.parametrize(
    ("size", "begin", "sentence"),
    [
        (7, 0, "The bundle's log has 7 entries, but 8 were signed before."),
        (20, 9, "The bundle begins at entry 9, but you have checked the log up to 8 only."),
    ],
)
def test_a_bundle_that_does_not_go_on_is_refused(pinned: Books, size: int, begin: int, sentence: str) -> None:
    pinned.verified(pinned.bundle(8))
    assert sentence in pinned.refused(pinned.bundle(size, begin))


def test_a_hidden_entry_is_told_by_its_number_and_nothing_is_kept(pinned: Books) -> None:
    shown = [one for one in LOG.disclosures(0, OWNER) if one.index != 4]
    told = pinned.refused(pinned.put("hiding.zip", LOG.bundle(disclosures=shown)), "--list")
    assert "Entry 4 of the log is yours, and the bundle does not show it" in told
    assert "what to do: Ask for it at the Host Guardian Service itself" in told
    assert json.loads(pinned.done("audit", "show", "--output", "json")) == []


def test_the_first_key_is_compared_by_a_person_and_remembered(books: Books) -> None:
    arguments = ("audit", "verify", books.bundle(8), "--owner", books.path("owner.guardian"))
    result = books.gf(*arguments, typed="y\n")
    assert result.exit_code == 0
    assert grouped(VKEY.fingerprint) in result.stderr
    assert books.verified(books.bundle(20))["new"] == 6, "and not asked for again"


@pytest.mark.parametrize(("typed", "sentence"), [("n\n", "was not confirmed"), ("", "what to do: Give --key KEY.")])
def test_a_key_that_nobody_confirmed_proves_nothing(books: Books, typed: str, sentence: str) -> None:
    result = books.gf("audit", "verify", books.bundle(), "--owner", books.path("owner.guardian"), typed=typed)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not (books.folder / "config" / "gf" / "audit").exists()


def test_a_key_in_a_file_is_taken_without_asking(books: Books) -> None:
    file = books.put("log.key", f"{VKEY}\n".encode())
    assert books.verified(books.bundle(), "--key", file)["key_hash"] == grouped(VKEY.fingerprint)


def test_a_bundle_signed_by_another_key_of_the_same_name_is_refused(pinned: Books) -> None:
    forger = signing_key(bytes(32))
    members = members_of(LOG.bundle(note=sign_checkpoint(LOG.checkpoint(), forger)))
    forged = zipped({**members, "vkey": str(VerifierKey.of(ORIGIN, forger)).encode()})
    assert "did not sign this" in pinned.refused(pinned.put("forged.zip", forged))
    told = pinned.refused(pinned.path("forged.zip"), "--key", str(VerifierKey.of(ORIGIN, forger)))
    assert f"The log {ORIGIN} is known with another key." in told


def test_another_log_is_not_slipped_in(pinned: Books) -> None:
    forger = signing_key(bytes(32))
    note = sign_checkpoint(replace(LOG.checkpoint(), origin="another"), forger)
    members = members_of(LOG.bundle(note=note))
    forged = zipped({**members, "vkey": str(VerifierKey.of("another", forger)).encode()})
    result = pinned.verify(pinned.put("forged.zip", forged), typed="n\n")
    assert result.exit_code == 1  # type: ignore[attr-defined]
    assert f"It is none of the logs you know: {ORIGIN}" in result.stderr  # type: ignore[attr-defined]


def test_a_key_is_replaced_only_on_purpose(pinned: Books) -> None:
    new = str(VerifierKey.of(ORIGIN, signing_key(bytes(32))))
    result = pinned.gf("audit", "key", new)
    assert result.exit_code == 1
    assert "known with another key" in result.stderr
    assert grouped(VerifierKey.parse(new).fingerprint) in pinned.done("audit", "key", new, "--replace")


def test_a_checkpoint_seen_elsewhere_shows_a_bundle_that_is_old(pinned: Books) -> None:
    seen = pinned.put("checkpoint", LOG.note())
    assert "but 20 were signed before" in pinned.refused(pinned.bundle(19), "--checkpoint", seen)
    assert pinned.verified(pinned.bundle(20), "--checkpoint", seen)["size"] == 20


def test_a_checkpoint_seen_elsewhere_shows_two_views_of_one_log(pinned: Books) -> None:
    other = Log((*LOG.entries[:3], entry(103), *LOG.entries[4:]))
    seen = pinned.put("checkpoint", other.note())
    assert "The log was rewritten" in pinned.refused(pinned.bundle(), "--checkpoint", seen)


def test_the_owner_is_read_from_each_public_file(pinned: Books) -> None:
    keys = owner()
    pem = x509.load_der_x509_certificate(OWNER).public_bytes(Encoding.PEM)
    signer = CommunicationsKey(OWNER, keys.signing_key)
    protector, _ = new_protector(keys, [lab().guardian], counted_random("audit"))
    pinned.import_lab()
    assert pinned.new_pdk().exit_code == 0
    files = {
        "owner.der": OWNER,
        "owner.pem": pem,
        "owner.xml": serialise_metadata(keys.guardian, signer),
        "owner.protector": serialise_protector(protector),
    }
    paths = [pinned.put(name, data) for name, data in files.items()] + [pinned.path("web.pdk")]
    for number, path in enumerate(paths):
        store = pinned.path(f"store{number}")
        arguments = ("--owner", path, "--key", str(VKEY), "--store", store, "--output", "json")
        found = json.loads(pinned.done("audit", "verify", pinned.bundle(), *arguments))
        assert (found["owner"], found["yours"]) == (grouped(keys.guardian.fingerprint), 10), path


@pytest.mark.parametrize("data", [b"", b"nobody", b"<Nobody/>", b"\x30\x00", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_that_names_no_owner_is_refused(pinned: Books, data: bytes) -> None:
    result = pinned.gf("audit", "verify", pinned.bundle(), "--owner", pinned.put("nobody", data))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_two_owners_are_audited_apart(pinned: Books) -> None:
    pinned.verified(pinned.bundle(8))
    theirs = pinned.put("neighbour.der", NEIGHBOUR)
    bundle = pinned.put("theirs.zip", LOG.bundle(8, disclosures=LOG.disclosures(8, NEIGHBOUR)))
    result = pinned.gf("audit", "verify", bundle, "--owner", theirs)
    assert result.exit_code == 1
    assert "no earlier audit was kept" in result.stderr
    whole = pinned.put("theirs.zip", LOG.bundle(disclosures=LOG.disclosures(0, NEIGHBOUR)))
    pinned.done("audit", "verify", whole, "--owner", theirs)
    rows = json.loads(pinned.done("audit", "show", "--output", "json"))
    assert {(row["owner"], row["size"]) for row in rows} == {
        (grouped(owner().guardian.fingerprint), 8),
        (grouped(stranger().guardian.fingerprint), 20),
    }


def test_what_is_kept_is_shown(pinned: Books) -> None:
    assert pinned.done("audit", "show").splitlines()[0].startswith("LOG")
    pinned.verified(pinned.bundle())
    assert ORIGIN in pinned.done("audit", "show")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"size": "x"}'])
def test_a_damaged_record_is_not_taken_for_no_record(pinned: Books, content: str) -> None:
    pinned.verified(pinned.bundle())
    (record,) = (pinned.folder / "config" / "gf" / "audit").glob("*/*.json")
    record.write_text(content)
    assert f"{record} was damaged" in pinned.refused(pinned.bundle())


def test_a_damaged_key_is_not_asked_for_again(pinned: Books) -> None:
    (file,) = (pinned.folder / "config" / "gf" / "audit").glob("*/key")
    file.write_text("nothing")
    assert f"{file} was damaged" in pinned.refused(pinned.bundle())


def test_what_is_no_bundle_is_refused(pinned: Books) -> None:
    told = pinned.refused(pinned.put("nothing.zip", b"nothing"))
    assert "This is not a bundle of a key log as it should be" in told


def test_text_from_a_log_does_not_steer_the_terminal(pinned: Books) -> None:
    hostile = entry_of(replace(REFUSAL, message="\x1b[2Jgone", host_name="\x1b]0;x\x07"), OWNER, 1)
    log = Log((hostile,))
    path = pinned.put("hostile.zip", log.bundle(disclosures=log.disclosures(0, OWNER)))
    told = pinned.done("audit", "verify", path, "--owner", pinned.path("owner.guardian"), "--list")
    assert "\x1b" not in told
    assert "gone" in told


def test_the_store_can_be_elsewhere(books: Books) -> None:
    elsewhere = books.path("elsewhere")
    books.verified(books.bundle(), "--key", str(VKEY), "--store", elsewhere)
    assert list(Path(elsewhere).glob("*/key"))
    assert not (books.folder / "config" / "gf" / "audit").exists()


def test_one_entry_is_proven_to_somebody_else(pinned: Books) -> None:
    proof = pinned.path("entry.tlog-proof")
    assert "proves entry 4" in pinned.done("audit", "prove", pinned.bundle(), "--index", "4", "-o", proof)
    elsewhere = ("--store", pinned.path("elsewhere"))
    unknown = pinned.gf("audit", "check", proof, *elsewhere)
    assert unknown.exit_code == 1
    assert "The log of this proof is not known here." in unknown.stderr
    found = json.loads(pinned.done("audit", "check", proof, "--key", str(VKEY), *elsewhere, "--output", "json"))
    assert (found["index"], found["vm"], found["result"]) == (4, VM, "released")
    assert found["owner"] == owner().guardian.fingerprint
    assert "hv01" in pinned.done("audit", "check", proof), "the known key is taken where it is known"


def test_a_proof_that_was_changed_is_refused(pinned: Books) -> None:
    proof = pinned.folder / "entry.tlog-proof"
    pinned.done("audit", "prove", pinned.bundle(), "--index", "4", "-o", str(proof))
    proof.write_bytes(proof.read_bytes().replace(b"index 4", b"index 6"))
    result = pinned.gf("audit", "check", str(proof))
    assert result.exit_code == 1
    assert "The proof does not show entry 6" in result.stderr


def test_another_s_entry_is_not_proven_and_no_file_written(pinned: Books) -> None:
    result = pinned.gf("audit", "prove", pinned.bundle(), "--index", "1", "-o", pinned.path("out"))
    assert result.exit_code == 1
    assert "The bundle does not show entry 1." in result.stderr
    assert not (pinned.folder / "out").exists()
