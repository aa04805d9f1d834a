"""State files that were damaged, cut off, or put together wrongly: each is refused, and nothing of it is written."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hgs.commands.state_import import Choices, import_state, inspect_state
from hgs.keyprotection.secret import Secret
from hgs.statefile import kinds
from hgs.statefile.container import CHUNK, MAGIC
from hgs.statefile.errors import StateFileError
from hgs.statefile.form import Record
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint, signing_key
from portal.kernel.errors import Conflict
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import stranger
from tests.hgs.service.conftest import ADMIN
from tests.hgs.service.states import (
    PASSPHRASE,
    Change,
    lose_everything,
    make_log,
    opened,
    rewritten,
    rows,
    sealed,
)
from tests.hgs.service.test_state import export, hgs

__all__ = ["hgs"]
pytestmark = pytest.mark.django_db
HEADER, PROOF = 28, 16


_made: list[bytes] = []


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of an HGS with something of everything; the HGS itself is not there, or is lost."""
    if not _made:
        request.getfixturevalue("hgs")
        make_log(300)
        _made.append(export(tmp_path).read_bytes())
    path = tmp_path / "lab.hgs-state"
    path.write_bytes(_made[0])
    return path


def refused(path: Path, settings: Any, why: str) -> None:
    """Neither looking at it nor importing it does anything but say why not."""
    lose_everything(settings)
    empty = rows()
    with pytest.raises(StateFileError, match=why):
        inspect_state(ADMIN, path, PASSPHRASE)
    with pytest.raises(StateFileError, match=why):
        import_state(ADMIN, path, PASSPHRASE, Choices(continue_log=True))
    assert rows() == empty
    assert not AuditEvent.objects.exists()


# ---- the envelope --------------------------------------------------------------------------------------------------


def test_a_byte_that_is_flipped_anywhere_is_noticed(path: Path, settings: Any) -> None:
    whole = path.read_bytes()
    assert len(whole) > 3 * CHUNK, "the file has several chunks"
    beginning = "no file that gf hgs|of version|amount of work|passphrase is wrong"
    places = dict.fromkeys(range(HEADER + PROOF), beginning)
    first, chunk = HEADER + PROOF, CHUNK + 16
    for at in (
        first,
        first + CHUNK,
        first + chunk - 1,
        first + chunk,
        first + 2 * chunk,
        len(whole) - 17,
        len(whole) - 1,
    ):
        places[at] = "damaged or cut off"
    for at, why in places.items():
        bent = path.with_suffix(".bent")
        bent.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StateFileError, match=why):
            inspect_state(ADMIN, bent, PASSPHRASE)


def test_a_file_that_is_cut_off_anywhere_is_noticed(path: Path, settings: Any) -> None:
    whole, chunk, first = path.read_bytes(), CHUNK + 16, HEADER + PROOF
    ends = [0, 1, len(MAGIC), HEADER - 1, HEADER, first - 1, first, first + 1, first + chunk - 1, first + chunk]
    for end in [*ends, first + 2 * chunk, len(whole) - 16, len(whole) - 1]:
        cut = path.with_suffix(".cut")
        cut.write_bytes(whole[:end])
        with pytest.raises(StateFileError):
            inspect_state(ADMIN, cut, PASSPHRASE)


def test_chunks_that_change_places_are_noticed(path: Path, settings: Any) -> None:
    whole, chunk, first = path.read_bytes(), CHUNK + 16, HEADER + PROOF
    one, two = whole[first : first + chunk], whole[first + chunk : first + 2 * chunk]
    mixed = path.with_suffix(".mixed")
    mixed.write_bytes(whole[:first] + two + one + whole[first + 2 * chunk :])
    refused(mixed, settings, "damaged or cut off")


def test_something_after_the_end_is_noticed(path: Path, settings: Any) -> None:
    longer = path.with_suffix(".longer")
    longer.write_bytes(path.read_bytes() + b"\n")
    refused(longer, settings, "damaged or cut off")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_envelope_of_another_version_is_told_from_damage(path: Path, settings: Any, version: int) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(MAGIC)] = version
    path.write_bytes(bytes(whole))
    refused(path, settings, f"of version {version}; this HGS reads version 1")


@pytest.mark.parametrize("version", [0, 2, True, "1", None])
def test_records_of_another_version_are_not_guessed_at(path: Path, settings: Any, version: object) -> None:
    first, rest = opened(path).split(b"\n", 1)
    name, head = json.loads(first)
    line = json.dumps([name, head | {"version": version}], sort_keys=True, separators=(",", ":")).encode()
    refused(sealed(line + b"\n" + rest, path), settings, "of version .*; this HGS reads version 1")


def test_a_file_is_imported_only_as_it_was_verified(path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who can write the file puts another in its place between the two readings."""
    from hgs.commands import state_import

    verified = state_import._inspected
    lose_everything(settings)

    def and_then_another(source: Any, envelope: Any) -> Any:
        found = verified(source, envelope)
        with path.open("r+b") as file:
            file.seek(HEADER + PROOF + 5)
            file.write(b"\0\0\0")
        return found

    monkeypatch.setattr(state_import, "_inspected", and_then_another)
    with pytest.raises(StateFileError, match="damaged"):
        import_state(ADMIN, path, PASSPHRASE)
    assert not AuditEvent.objects.exists()


# ---- lines ---------------------------------------------------------------------------------------------------------


def test_a_record_that_is_missing_is_noticed(path: Path, settings: Any) -> None:
    lines = opened(path).split(b"\n")
    refused(sealed(b"\n".join([*lines[:5], *lines[6:]]), path), settings, "counts other records|are others")


def test_an_end_that_is_missing_is_noticed(path: Path, settings: Any) -> None:
    lines = opened(path).split(b"\n")
    refused(sealed(b"\n".join([*lines[:-2], b""]), path), settings, "damaged or cut off")


def test_records_in_another_order_are_noticed(path: Path, settings: Any) -> None:
    refused(rewritten(path, lambda records: [records[1], records[0], *records[2:]]), settings, "where none can be")


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [(b'"is_enabled":true', b'"is_enabled": true'), (b'"mode":1', b'"mode":1.0'), (b".000000Z", b".000000+00:00")],
)
def test_a_value_has_one_form(path: Path, settings: Any, written: bytes, otherwise: bytes) -> None:
    content = opened(path)
    assert written in content
    refused(sealed(content.replace(written, otherwise, 1), path), settings, "another way|is not")


# ---- records that do not fit together ------------------------------------------------------------------------------


def changed(kind: kinds.Kind, change: Callable[[dict[str, Any]], dict[str, Any]], at: int = 0) -> Change:
    """The records with one of them changed."""

    def with_it(records: list[Record]) -> list[Record]:
        place = [index for index, record in enumerate(records) if record.kind is kind][at]
        record = records[place]
        return [*records[:place], replace(record, fields=record.fields | change(record.fields)), *records[place + 1 :]]

    return with_it


def without(kind: kinds.Kind, at: int = 0) -> Change:
    """The records without one of them."""

    def left(records: list[Record]) -> list[Record]:
        place = [index for index, record in enumerate(records) if record.kind is kind][at]
        return records[:place] + records[place + 1 :]

    return left


def another_private_key(_: object) -> dict[str, Any]:
    key = stranger().signing_key
    return {"private": Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))}


def twice(kind: kinds.Kind) -> Change:
    def more(records: list[Record]) -> list[Record]:
        place = next(index for index, record in enumerate(records) if record.kind is kind)
        return [*records[: place + 1], *records[place:]]

    return more


def bent(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


UNSOUND: dict[str, tuple[Change, str]] = {
    "no configuration": (without(kinds.CONFIGURATION), "there is no configuration"),
    "two configurations": (twice(kinds.CONFIGURATION), "more than 1 records of the kind configuration"),
    "another name": (changed(kinds.CONFIGURATION, lambda _: {"name": "other"}), "two names"),
    "a key is missing": (without(kinds.KEY), "not exactly one primary key"),
    "two primary keys": (
        changed(kinds.KEY, lambda _: {"purpose": "communications"}),
        "not exactly one primary key for the purpose",
    ),
    "a primary key is disabled": (changed(kinds.KEY, lambda _: {"is_enabled": False}), "is disabled"),
    "another private key": (changed(kinds.KEY, another_private_key), "not the one of its certificate"),
    "no private key": (changed(kinds.KEY, lambda _: {"private": Secret(b"")}), "neither in it nor in a token"),
    "here and in a token": (changed(kinds.KEY, lambda _: {"pkcs11_uri": "pkcs11:object=x"}), "or is in both"),
    "no key at all": (changed(kinds.KEY, lambda _: {"private": Secret(b"text")}), "private key .* cannot be read"),
    "no certificate": (changed(kinds.KEY, lambda _: {"certificate": b""}), "certificate .* cannot be read"),
    "no purpose": (changed(kinds.KEY, lambda _: {"purpose": "exchange-state"}), "key.purpose is not one of"),
    "twins": (twice(kinds.TPM_HOST), "two records of the kind tpm-host have the id"),
    "no group": (without(kinds.HOST_GROUP), "of a host group that is not in it"),
    "no identifier": (changed(kinds.HOST_GROUP, lambda _: {"sid": "hosts"}), "host-group hosts cannot be used"),
    "another endorsement key": (
        changed(kinds.TPM_HOST, lambda _: {"ek_public": stranger_spki()}),
        "the endorsement key of hv01 is not the one in its certificate",
    ),
    "no endorsement key": (changed(kinds.TPM_HOST, lambda _: {"ek_public": b"key"}), "tpm-host hv01 cannot be used"),
    "no maker": (changed(kinds.TPM_ROOT, lambda _: {"certificate": b"root"}), "tpm-root .* cannot be used"),
    "no host key": (changed(kinds.HOST_KEY, lambda _: {"public_key": b"key"}), "host-key hv08 cannot be used"),
    "no boot": (changed(kinds.BASELINE, lambda _: {"content": b"log"}), "baseline r1 cannot be used"),
    "no CI policy": (changed(kinds.CI_POLICY, lambda _: {"content": b"policy"}), "ci-policy hosts cannot be used"),
    "another CI policy": (changed(kinds.CI_POLICY, lambda _: {"digest": "ab" * 32}), "not the one that hosts measure"),
    "an entry is missing": (without(kinds.LOG_LEAF, 17), "entry 17 of the key log is missing"),
    "the last entry is missing": (without(kinds.LOG_LEAF, 299), "299 of 300 entries"),
    "another entry": (
        changed(kinds.LOG_LEAF, lambda fields: {"leaf": bent(fields["leaf"])}, 299),
        "the frontier of the key log is not the one",
    ),
    "another entry in a tile": (
        changed(kinds.LOG_LEAF, lambda fields: {"leaf": bent(fields["leaf"])}),
        "tile 0/0 of the key log is not the one",
    ),
    "another tile": (changed(kinds.LOG_TILE, lambda fields: {"hashes": bent(fields["hashes"])}), "tile 0/0"),
    "a tile is missing": (without(kinds.LOG_TILE), "tiles of the key log are missing"),
    "no head": (without(kinds.LOG_HEAD), "300 of 0 entries"),
    "another size": (changed(kinds.LOG_HEAD, lambda _: {"size": 299}), "300 of 299 entries"),
    "another checkpoint": (
        changed(kinds.LOG_HEAD, lambda fields: {"checkpoint": bent(fields["checkpoint"])}),
        "checkpoint of the key log does not hold",
    ),
    "no checkpoint": (changed(kinds.LOG_HEAD, lambda _: {"checkpoint": b""}), "does not hold"),
    "the log of another name": (
        changed(kinds.CONFIGURATION, lambda _: {"log_origin": "open-guarded-fabric/key-log/other"}),
        "does not hold",
    ),
    "another log key": (
        changed(kinds.KEY, lambda _: {"private": Secret(os.urandom(32))}, 4),
        "checkpoint of the key log does not hold",
    ),
    "no log key": (without(kinds.KEY, 4), "the key log is in it, and its key is not"),
    "a seed that is too short": (changed(kinds.KEY, lambda _: {"private": Secret(b"seed")}, 4), "seed of 32 bytes"),
    "a release that is not in the log": (
        changed(kinds.RELEASE, lambda _: {"log_index": 300}),
        "an entry that the key log does not have",
    ),
}


def stranger_spki() -> bytes:
    from hgs.attestation.tpm import spki_of

    return spki_of(stranger().signing_key.public_key())


@pytest.mark.parametrize("change", UNSOUND.values(), ids=UNSOUND.keys())
def test_a_file_that_contradicts_itself_is_refused(path: Path, settings: Any, change: tuple[Change, str]) -> None:
    refused(rewritten(path, _keys_in_order(change[0])), settings, change[1])


def _place(key: Record) -> tuple[bool, str]:
    purpose: str = key.fields["purpose"]
    return purpose == "key-log", purpose


def _keys_in_order(change: Change) -> Change:
    """Keys in the order of their purposes, and that of the key log last."""

    def sort(records: list[Record]) -> list[Record]:
        where = [index for index, record in enumerate(records) if record.kind is kinds.KEY]
        ordered = sorted((records[index] for index in where), key=_place)
        again = list(records)
        for index, record in zip(where, ordered, strict=True):
            again[index] = record
        return list(change(again))

    return sort


def test_a_checkpoint_of_another_log_that_the_key_signed_is_refused(path: Path, settings: Any) -> None:
    """Somebody had the key sign two logs of one size."""

    def change(records: list[Record]) -> list[Record]:
        other = Checkpoint(records[0].fields["log_origin"], 300, os.urandom(32))
        seed = next(one.fields["private"] for one in records if one.fields.get("purpose") == "key-log")
        note = sign_checkpoint(other, signing_key(seed.reveal()))
        return list(changed(kinds.LOG_HEAD, lambda _: {"checkpoint": note})(records))

    refused(rewritten(path, change), settings, "of another log than its entries make")


def test_records_that_the_database_does_not_take_are_all_refused(path: Path, settings: Any) -> None:
    again = rewritten(path, twice(kinds.POLICY))
    lose_everything(settings)
    empty = rows()
    with pytest.raises(Conflict, match="does not take these records"):
        import_state(ADMIN, again, PASSPHRASE)
    assert rows() == empty
