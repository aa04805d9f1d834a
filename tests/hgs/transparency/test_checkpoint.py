"""Signed notes and checkpoints: published examples verify, and nothing else than what the log signed is read."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.transparency.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint, signing_key
from hgs.transparency.errors import NoteError
from hgs.transparency.merkle import EMPTY_ROOT
from hgs.transparency.note import VerifierKey, open_note, sign_note

# The example of https://c2sp.org/signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# A checkpoint of Go's checksum database, and its published key.
GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_NOTE = (
    "go.sum database tree\n65664258\nWVVNVD2qx+fTq31zkj6UAqxT5X6HvGphGM+o8Thnbsg=\n\n— sum.golang.org "
    "Az3grligJmgX7KGyGPKybykNTh3VgsbLvUuvOwrM5zLVlulmFp2wdvbxOw74/gcNxURShXEpb7RXcs3+BYflYN+w0gQ=\n"
).encode()

ORIGIN = "open-guarded-fabric/key-log/0123"
KEY = signing_key(bytes(range(32)))
VKEY = VerifierKey.of(ORIGIN, KEY)
CHECKPOINT = Checkpoint(ORIGIN, 42, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KEY)
WITNESS = signing_key(bytes(32))


def signed(text: str, name: str = ORIGIN) -> bytes:
    return sign_note(text, name, KEY)


def code_of(note: bytes, key: VerifierKey = VKEY) -> str:
    with pytest.raises(NoteError) as refused:
        open_checkpoint(note, key)
    return refused.value.code


def test_the_specification_s_example_verifies() -> None:
    assert open_note(EXAMPLE_NOTE, VerifierKey.parse(EXAMPLE_KEY)) == "This is an example message.\n"


def test_a_real_log_s_note_verifies_and_reads() -> None:
    key = VerifierKey.parse(GO_KEY)
    text = open_note(GO_NOTE, key)
    with pytest.raises(NoteError) as refused:
        parse_checkpoint(text)
    assert refused.value.code == "origin", "the origin of Go's database has spaces, which none of ours has"
    assert code_of(GO_NOTE.replace(b"65664258", b"65664259"), key) == "checkpoint-signature"


def test_verifier_keys_are_written_as_published() -> None:
    for text in (EXAMPLE_KEY, GO_KEY, str(VKEY)):
        assert str(VerifierKey.parse(text)) == text


def test_a_checkpoint_is_three_lines_and_a_signature_line() -> None:
    lines = NOTE.decode().split("\n")
    assert lines[:4] == [ORIGIN, "42", base64.b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert open_checkpoint(sign_checkpoint(checkpoint, KEY), VKEY) == checkpoint


@given(st.data())
def test_a_note_with_one_bit_changed_is_refused(data: st.DataObject) -> None:
    note = bytearray(NOTE)
    note[data.draw(st.integers(0, len(note) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NoteError):
        open_checkpoint(bytes(note), VKEY)


def test_signatures_of_witnesses_are_allowed_and_ignored() -> None:
    by_witness = sign_note(CHECKPOINT.text(), "witness.example/w1", WITNESS).split(b"\n\n")[1]
    for note in (NOTE + by_witness, NOTE.replace(b"\n\n", b"\n\n" + by_witness)):
        assert open_checkpoint(note, VKEY) == CHECKPOINT


def test_a_note_that_only_a_witness_signed_is_refused() -> None:
    assert code_of(sign_note(CHECKPOINT.text(), "witness.example/w1", WITNESS)) == "checkpoint-signature"


def test_another_key_of_the_same_name_signs_nothing() -> None:
    assert code_of(sign_note(CHECKPOINT.text(), ORIGIN, WITNESS)) == "checkpoint-signature"


def test_a_wrong_signature_of_the_log_beside_a_good_one_is_refused() -> None:
    forged = base64.b64encode(VKEY.key_id + bytes(64)).decode()
    assert code_of(NOTE + f"— {ORIGIN} {forged}\n".encode()) == "checkpoint-signature"


def test_the_key_of_one_log_does_not_speak_for_another() -> None:
    text = Checkpoint("another-log", 42, bytes(32)).text()
    assert code_of(signed(text)) == "wrong-origin"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"{ORIGIN}\n042\n{'A' * 43}=\n", "checkpoint-form"),
        (f"{ORIGIN}\n+42\n{'A' * 43}=\n", "checkpoint-form"),
        (f"{ORIGIN}\n٤٢\n{'A' * 43}=\n", "checkpoint-form"),
        (f"{ORIGIN}\n{2**63}\n{'A' * 43}=\n", "checkpoint-form"),
        (f"{ORIGIN}\n42\n{'A' * 42}B=\n", "checkpoint-form"),
        (f"{ORIGIN}\n42\n{'A' * 43}\n", "checkpoint-form"),
        (f"{ORIGIN}\n42\n{'A' * 40}\n", "checkpoint-form"),
        (f"{ORIGIN}\n42\n", "checkpoint-form"),
        (f"{ORIGIN}\n42\n{'A' * 43}=\nextension\n", "checkpoint-form"),
        (f"two words\n42\n{'A' * 43}=\n", "origin"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str, code: str) -> None:
    assert code_of(signed(text)) == code


@pytest.mark.parametrize(
    ("note", "code"),
    [
        (b"", "note-form"),
        (NOTE[:-1], "note-form"),
        (NOTE.replace(b"\n\n", b"\n"), "note-form"),
        (NOTE.split(b"\n\n")[0] + b"\n\n", "note-form"),
        (NOTE + b"\n", "note-form"),
        (NOTE.replace("— ".encode(), b"- "), "note-signature-line"),
        (NOTE.replace(b"\n\n", b"\n\n\n"), "checkpoint-signature"),
        (NOTE.replace(b"42\n", b"42\r\n"), "note-text"),
        (NOTE.replace(b"42", b"4\xff"), "note-text"),
        (NOTE[:-2] + b" \n", "note-signature-line"),
        (NOTE + "— name AAAA\n".encode(), "note-signature-line"),
        (NOTE + "— name  AAAAAAAA\n".encode(), "note-signature-line"),
        (NOTE + "— na+me AAAAAAAA\n".encode(), "note-signature-line"),
        (NOTE + "— name AAAAAAB=\n".encode(), "note-signature-line"),
        (NOTE + "— name AAAAAAAA\n".encode() * 64, "note-signatures"),
        (NOTE + b"x" * 131072, "note-length"),
    ],
)
def test_a_note_of_another_form_is_refused(note: bytes, code: str) -> None:
    assert code_of(note) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "vkey"),
        ("name+00000000", "vkey"),
        (GO_KEY.replace("033de0ae", "033de0af"), "vkey-id"),
        (GO_KEY.replace("033de0ae", "033DE0AE"), "vkey"),
        (GO_KEY.replace("sum.", "sun."), "vkey-id"),
        (GO_KEY + "=", "vkey"),
        (GO_KEY + "\n", "vkey"),
        (GO_KEY.replace("+Ac4", "+Bc4"), "vkey-algorithm"),
        ("name+033de0ae+AQAA", "key-length"),
        ("na me+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "key-name"),
        ("+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "key-name"),
        ("x" * 2000, "vkey"),
    ],
)
def test_a_verifier_key_of_another_form_is_refused(text: str, code: str) -> None:
    with pytest.raises(NoteError) as refused:
        VerifierKey.parse(text)
    assert refused.value.code == code


def test_nothing_is_signed_that_would_not_be_read() -> None:
    for text in ("", "\n", "no newline", "bell\a\n", "cr\r\n"):
        with pytest.raises(NoteError):
            sign_note(text, ORIGIN, KEY)
    with pytest.raises(NoteError):
        Checkpoint("two words", 0, EMPTY_ROOT)
    with pytest.raises(NoteError):
        Checkpoint(ORIGIN, -1, EMPTY_ROOT)
    with pytest.raises(NoteError):
        Checkpoint(ORIGIN, 0, EMPTY_ROOT[:-1])
    with pytest.raises(NoteError):
        signing_key(bytes(31))
