"""Recovery keys: whoever has the shielding data and the owner guardian opens one, nobody else, for the VM it names."""

from dataclasses import replace
from functools import cache
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.errors import RecoveryKeyError
from fabric.shielding.pdk import Pdk, PdkChange, Policy, RecoveryKey, ShieldingSecrets, change_pdk, parse_pdk, write_pdk
from fabric.shielding.recovery import RecoveryKeyEscrow, escrow, open_escrow, parse_escrow
from hgs.keyprotection.ownership import open_as_owner
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from tests.fabric.shielding.test_pdk import ANSWER, QUALIFIER
from tests.hgs.keyprotection.guardians import counted_random, lab, owner

VM = UUID("11112222-3333-4444-5555-666677778888")
KEY = Secret(b"canary recovery key of 32 bytes!")


def shielding_data(name: str, wish: RecoveryKey = RecoveryKey.ESCROW) -> Pdk:
    return parse_pdk(
        write_pdk(
            owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], ShieldingSecrets(ANSWER), counted_random(name),
            recovery_key=wish,
        )
    )  # fmt: skip


@cache
def pdk() -> Pdk:
    return shielding_data("recovery")


@cache
def transport_key() -> TransportKey:
    """As the host has it: by its guardian."""
    return unwrap(pdk().protector, lab())


@cache
def document() -> bytes:
    return escrow(VM, pdk(), transport_key(), KEY, counted_random("escrow"))


def test_the_owner_opens_what_the_host_put_away() -> None:
    found = parse_escrow(document())
    assert found.vm_id == VM
    assert found.protector_id == pdk().protector.id
    assert found.owner_fingerprint == owner().guardian.fingerprint
    assert open_escrow(found, pdk(), open_as_owner(pdk().protector, owner())) == KEY


def test_the_key_cannot_be_read_in_the_document_or_printed() -> None:
    assert KEY.reveal() not in document()
    assert "canary" not in repr(parse_escrow(document()))


def test_without_the_owners_wish_no_key_is_put_away() -> None:
    unwilling = shielding_data("no", RecoveryKey.NONE)
    with pytest.raises(RecoveryKeyError) as refused:
        escrow(VM, unwilling, unwrap(unwilling.protector, lab()), KEY, counted_random("no"))
    assert refused.value.code == "not-asked-for"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_a_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        escrow(VM, pdk(), transport_key(), Secret(bytes(length)), counted_random("length"))


def test_other_shielding_data_is_told_apart_before_its_key_is_tried() -> None:
    other = shielding_data("other")
    with pytest.raises(RecoveryKeyError) as refused:
        open_escrow(parse_escrow(document()), other, open_as_owner(other.protector, owner()))
    assert refused.value.code == "other-shielding-data"
    assert pdk().protector.id in refused.value.advice


def test_shielding_data_that_was_changed_since_does_not_open_it() -> None:
    changed = parse_pdk(change_pdk(pdk(), owner(), PdkChange(), counted_random("change")))
    assert not parse_escrow(document()).is_of(changed)


@pytest.mark.parametrize(
    "change",
    [{"vm_id": UUID(int=1)}, {"owner_fingerprint": "00" * 32}],
    ids=["another VM", "another owner"],
)
def test_an_escrow_moved_to_another_name_does_not_open(change: dict[str, object]) -> None:
    moved = replace(parse_escrow(document()), **change)  # type: ignore[arg-type]
    with pytest.raises(RecoveryKeyError) as refused:
        open_escrow(parse_escrow(moved.serialise()), pdk(), transport_key())
    assert refused.value.code == "not-opened"


def test_the_key_for_the_content_opens_no_escrow() -> None:
    # Each purpose has its own derived key.
    found = parse_escrow(document())
    wrong = TransportKey(transport_key().derive("shielding-data"))
    with pytest.raises(RecoveryKeyError):
        open_escrow(found, pdk(), wrong)


@given(st.data())
def test_a_changed_byte_is_never_taken(data: st.DataObject) -> None:
    changed = bytearray(document())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecoveryKeyError):
        open_escrow(parse_escrow(bytes(changed)), pdk(), transport_key())


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_escrow(data: bytes) -> None:
    with pytest.raises(RecoveryKeyError):
        parse_escrow(data)


@given(st.uuids(), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_what_is_written_reads_back(vm_id: UUID, protector: bytes, fingerprint: bytes) -> None:
    encrypted = parse_escrow(document()).encrypted_key
    found = RecoveryKeyEscrow(vm_id, protector.hex(), fingerprint.hex(), encrypted)
    assert parse_escrow(found.serialise()) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'Version="1"', b'Version="2"'),
        (str(VM).encode(), str(VM).replace("-", "").encode()),
        (str(VM).encode(), b"{11112222-3333-4444-5555-666677778888}"),
        (b"</Header>", b"<More></More></Header>"),
        (b"<Header>", b"<Header >"),
        (b"aes256-gcm", b"aes128-gcm"),
    ],
)
def test_another_form_is_refused(before: bytes, after: bytes) -> None:
    assert before in document()
    with pytest.raises(RecoveryKeyError):
        parse_escrow(document().replace(before, after))
