"""Version 2 says more than Version 1; both are read, each in its one form, and neither passes for the other."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.answerfile import PLACEHOLDERS
from fabric.shielding.content import serialise_content
from fabric.shielding.errors import ShieldingDataError
from fabric.shielding.pdk import (
    Pdk,
    PdkType,
    Policy,
    RecoveryKey,
    ShieldingSecrets,
    open_pdk,
    parse_pdk,
    regrant_pdk,
    write_pdk,
)
from fabric.shielding.pdk_form import (
    Declarations,
    PdkDocument,
    PublicPart,
    body_octets,
    parse_document,
    public_octets,
    serialise_document,
)
from hgs.keyprotection import algorithms
from hgs.keyprotection.protector import new_protector, serialise_protector, unwrap
from tests.fabric.shielding.test_pdk import ANSWER, FILES, QUALIFIER, document
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner


def sealed(declared: Declarations | None, seed: str = "sealed") -> bytes:
    """A file as its owner might sign it, whatever it declares."""
    random_bytes = counted_random(seed)
    protector, key = new_protector(owner(), [lab().guardian], random_bytes)
    document = serialise_protector(protector)
    public = PublicPart(PdkType.FOR_SHIELDED_TEMPLATES, Policy.SHIELDED, document, (QUALIFIER,), declared)
    plaintext = serialise_content(ShieldingSecrets(ANSWER, FILES)).reveal()
    content = algorithms.encrypt_content(key.derive("shielding-data"), plaintext, public_octets(public), random_bytes)
    signature = algorithms.sign(owner().signing_key, body_octets(public, content))
    return serialise_document(PdkDocument(public, content, signature))


@cache
def first_version() -> bytes:
    return sealed(None, "version 1")


def opened(data: bytes) -> tuple[Pdk, ShieldingSecrets]:
    pdk = parse_pdk(data)
    return pdk, open_pdk(pdk, unwrap(pdk.protector, lab()))


def test_a_file_of_version_1_is_read_and_says_no_more_than_it_did() -> None:
    pdk, secrets = opened(first_version())
    assert (pdk.version, pdk.substitution_strings, pdk.escrows_recovery_key) == (1, None, False)
    assert (secrets.answer_file, secrets.other_files) == (ANSWER, FILES)
    assert pdk.serialise() == first_version()
    assert first_version().startswith(b'<ShieldingData xmlns="urn:open-guarded-fabric:shielding-data:1" Version="1">')


def test_a_new_file_names_the_values_it_asks_for() -> None:
    pdk, _ = opened(document())
    assert pdk.version == 2
    assert pdk.substitution_strings == (
        "@ComputerName@", "@DnsAddr-1-1@", "@IP4Addr-1@", "@NextHop-1-1@", "@TimeZone@",
    )  # fmt: skip
    assert pdk.escrows_recovery_key


def test_regranting_keeps_the_version() -> None:
    pdk = parse_pdk(regrant_pdk(parse_pdk(first_version()), owner(), branch().guardian, counted_random("re")))
    assert pdk.version == 1


def test_a_file_that_declares_other_strings_than_it_has_does_not_open() -> None:
    pdk = parse_pdk(sealed(Declarations(("@ComputerName@",), RecoveryKey.NONE)))
    with pytest.raises(ShieldingDataError) as refused:
        open_pdk(pdk, unwrap(pdk.protector, lab()))
    assert refused.value.code == "substitution-strings"


@pytest.mark.parametrize(
    "names",
    [
        ("@TimeZone@", "@ComputerName@"),
        ("@TimeZone@", "@TimeZone@"),
        ("@Word@",),
        ("",),
        tuple(sorted(PLACEHOLDERS)) * 2,
    ],
    ids=["unsorted", "twice", "unknown", "empty", "too many"],
)
def test_strings_are_known_sorted_and_named_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ShieldingDataError):
        parse_document(sealed(Declarations(names, RecoveryKey.ESCROW)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"shielding-data:2", b"shielding-data:1"),
        (b"shielding-data:2", b"shielding-data:3"),
        (b'Version="2"', b'Version="1"'),
        (b"<RecoveryKey>Escrow</RecoveryKey>", b""),
        (b"<RecoveryKey>Escrow</RecoveryKey>", b"<RecoveryKey>None</RecoveryKey>"),
        (b"<RecoveryKey>Escrow</RecoveryKey>", b"<RecoveryKey>escrow</RecoveryKey>"),
        (b"<SubstitutionString>@TimeZone@</SubstitutionString>", b""),
    ],
)
def test_what_version_2_says_is_signed(before: bytes, after: bytes) -> None:
    assert before in document()
    with pytest.raises(ShieldingDataError):
        parse_pdk(document().replace(before, after, 1))


@pytest.mark.parametrize("addition", [b"<SubstitutionStrings></SubstitutionStrings><RecoveryKey>None</RecoveryKey>"])
def test_version_1_takes_nothing_of_version_2(addition: bytes) -> None:
    with pytest.raises(ShieldingDataError, match="where nothing is allowed"):
        parse_document(first_version().replace(b"</Public>", addition + b"</Public>"))


@given(st.data())
def test_a_changed_byte_of_version_1_is_refused(data: st.DataObject) -> None:
    changed = bytearray(first_version())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ShieldingDataError):
        parse_pdk(bytes(changed))


@given(
    st.sets(st.sampled_from(sorted(PLACEHOLDERS))), st.sampled_from(list(RecoveryKey)), st.sampled_from(list(PdkType))
)
def test_every_declaration_reads_back(names: set[str], wish: RecoveryKey, kind: PdkType) -> None:
    found = parse_document(document())
    public = replace(found.public, type=kind, declared=Declarations(tuple(sorted(names)), wish))
    changed = replace(found, public=public)
    assert parse_document(serialise_document(changed)) == changed


def test_the_owner_can_do_without_a_recovery_key() -> None:
    data = write_pdk(
        owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], ShieldingSecrets(ANSWER), counted_random("none"),
        recovery_key=RecoveryKey.NONE,
    )  # fmt: skip
    assert not parse_pdk(data).escrows_recovery_key
