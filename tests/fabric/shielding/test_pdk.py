from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.content import OTHER_FILES_MAX, parse_content, serialise_content
from fabric.shielding.errors import AnswerFileError, ShieldingContentError, ShieldingDataError, ShieldingError
from fabric.shielding.pdk import Pdk, Policy, ShieldingSecrets, open_pdk, parse_pdk, write_pdk
from fabric.shielding.pdk_form import PdkDocument, body_octets, parse_document, serialise_document
from fabric.shielding.viq import Accepted, Refused, VersionRule, VolumeIdQualifier
from hgs.keyprotection import algorithms
from hgs.keyprotection.protector import new_protector, serialise_protector, unwrap
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from tests.hgs.keyprotection.guardians import branch, counted_random, lab, owner, stranger

CANARY = b"canary-4711"
QUALIFIER = VolumeIdQualifier("Debian 12", b"s" * 32, "1.0.0.0", VersionRule.GREATER_THAN_OR_EQUALS)
ANSWER = Secret(default_linux_answer_file("$6$salt$" + "x" * 86).encode())
FILES = {
    "ssh_host_ed25519_key": Secret(b"-----BEGIN " + CANARY),
    "authorized_keys": Secret(b"ssh-ed25519 AAAA\n"),
    "app.conf": Secret(b""),
}


@cache
def document() -> bytes:
    return write_pdk(
        owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], ShieldingSecrets(ANSWER, FILES), counted_random("pdk")
    )


@cache
def pdk() -> Pdk:
    return parse_pdk(document())


@cache
def key() -> TransportKey:
    return unwrap(pdk().protector, lab())


@dataclass(frozen=True)
class Disk:
    disk_name: str = "Debian 12"
    version: str = "1.5.0.0"
    signer_fingerprint: bytes = b"s" * 32


def test_the_fabric_reads_policy_qualifiers_owner_and_guardians() -> None:
    assert pdk().policy is Policy.SHIELDED
    assert pdk().qualifiers == (QUALIFIER,)
    assert pdk().owner_fingerprint == owner().guardian.fingerprint
    assert pdk().guardian_fingerprints == (lab().guardian.fingerprint,)


def test_a_guardian_opens_the_content() -> None:
    secrets = open_pdk(pdk(), key())
    assert secrets.answer_file == ANSWER
    assert secrets.other_files == FILES
    assert secrets.ssh_host_key == FILES["ssh_host_ed25519_key"]
    assert secrets.authorized_keys == FILES["authorized_keys"]
    assert set(secrets.named_files) == {"app.conf"}


def test_nothing_secret_can_be_read_in_the_file_or_printed() -> None:
    assert CANARY not in document()
    assert CANARY.decode() not in repr(open_pdk(pdk(), key())) + repr(pdk())


def test_the_bytes_do_not_change_by_being_read() -> None:
    assert pdk().serialise() == document()


def test_another_transport_key_does_not_open_it() -> None:
    with pytest.raises(ShieldingDataError) as caught:
        open_pdk(pdk(), TransportKey(Secret(bytes(32))))
    assert caught.value.code == "transport-key"


def test_it_applies_to_the_disks_its_owner_named() -> None:
    assert isinstance(pdk().applies_to(Disk()), Accepted)
    assert isinstance(pdk().applies_to(Disk(version="0.9.0.0")), Refused)


@given(st.data())
def test_a_changed_byte_is_refused(data: st.DataObject) -> None:
    changed = bytearray(document())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ShieldingDataError):
        parse_pdk(bytes(changed))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_shielding_data(data: bytes) -> None:
    with pytest.raises(ShieldingDataError):
        parse_pdk(data)


def test_a_file_that_is_something_else_is_called_so() -> None:
    with pytest.raises(ShieldingDataError, match="not a ShieldingData document"):
        parse_pdk(b"\x89PNG\r\n\x1a\n")


Change = Callable[[PdkDocument], PdkDocument]


def _public(**changes: object) -> Change:
    return lambda found: replace(found, public=replace(found.public, **changes))  # type: ignore[arg-type]


def _other_protector(found: PdkDocument) -> PdkDocument:
    protector, _ = new_protector(owner(), [branch().guardian], counted_random("other"))
    return _public(key_protector=serialise_protector(protector))(found)


@pytest.mark.parametrize(
    "change",
    [
        _public(policy=Policy.ENCRYPTION_SUPPORTED),
        _public(qualifiers=()),
        _public(qualifiers=(QUALIFIER, QUALIFIER)),
        _public(key_protector=b"<Protector>"),
        _other_protector,
    ],
)
def test_a_changed_public_part_is_refused(change: Change) -> None:
    with pytest.raises(ShieldingDataError):
        parse_pdk(serialise_document(change(parse_document(document()))))


def test_content_moved_under_another_public_part_does_not_open_even_if_the_owner_signs_it() -> None:
    # What the owner's key alone could do by mistake; the encryption is bound to the public part as well.
    found = parse_document(document())
    public = replace(found.public, policy=Policy.ENCRYPTION_SUPPORTED)
    signature = algorithms.sign(owner().signing_key, body_octets(public, found.content))
    moved = parse_pdk(serialise_document(PdkDocument(public, found.content, signature)))
    with pytest.raises(ShieldingDataError):
        open_pdk(moved, key())


def test_a_signature_by_a_guardian_is_not_the_owners() -> None:
    found = parse_document(document())
    signature = algorithms.sign(lab().signing_key, body_octets(found.public, found.content))
    with pytest.raises(ShieldingDataError) as caught:
        parse_pdk(serialise_document(replace(found, owner_signature=signature)))
    assert caught.value.code == "owner-signature"


def test_shielding_data_of_a_stranger_shows_the_strangers_fingerprint() -> None:
    other = write_pdk(
        stranger(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], ShieldingSecrets(ANSWER), counted_random("x")
    )
    assert parse_pdk(other).owner_fingerprint != owner().guardian.fingerprint


def test_it_needs_a_guardian_and_a_trusted_disk() -> None:
    secrets = ShieldingSecrets(ANSWER)
    with pytest.raises(ShieldingContentError) as caught:
        write_pdk(owner(), [], Policy.SHIELDED, [QUALIFIER], secrets, counted_random("x"))
    assert caught.value.code == "no-guardian"
    with pytest.raises(ShieldingContentError) as caught:
        write_pdk(owner(), [lab().guardian], Policy.SHIELDED, [], secrets, counted_random("x"))
    assert caught.value.code == "qualifiers"


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", ".hidden", "a b", "a\n", "x" * 65, "é"])
def test_names_that_are_no_plain_file_names_are_refused(name: str) -> None:
    with pytest.raises(ShieldingContentError) as caught:
        ShieldingSecrets(ANSWER, {name: Secret(b"x")})
    assert caught.value.code == "file-name"


def test_names_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(ShieldingContentError):
        ShieldingSecrets(ANSWER, {"a": Secret(b""), "A": Secret(b"")})


def test_the_files_may_have_384_kib_together_and_no_more() -> None:
    half = OTHER_FILES_MAX // 2
    largest = ShieldingSecrets(ANSWER, {"a": Secret(bytes(half)), "b": Secret(bytes(half))})
    assert (
        parse_pdk(
            write_pdk(owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], largest, counted_random("big"))
        ).policy
        is Policy.SHIELDED
    )
    with pytest.raises(ShieldingContentError) as caught:
        ShieldingSecrets(ANSWER, {"a": Secret(bytes(half)), "b": Secret(bytes(half + 1))})
    assert caught.value.code == "files-too-large"


def test_an_answer_file_that_is_none_is_refused() -> None:
    with pytest.raises(AnswerFileError):
        ShieldingSecrets(Secret(b"root=secret\n"))
    with pytest.raises(ShieldingContentError):
        ShieldingSecrets(Secret(b"\xff\xfe"))


@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.binary(max_size=50), max_size=5))
def test_every_content_reads_back(files: dict[str, bytes]) -> None:
    secrets = ShieldingSecrets(ANSWER, {name: Secret(value) for name, value in files.items()})
    plaintext = serialise_content(secrets)
    assert parse_content(plaintext) == secrets
    assert serialise_content(parse_content(plaintext)) == plaintext


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_content(data: bytes) -> None:
    with pytest.raises(ShieldingError):
        parse_content(Secret(data))
