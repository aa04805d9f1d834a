"""The envelope: what goes in comes out, with the passphrase alone, and only whole."""

import hashlib
from functools import cache
from io import BytesIO

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.keyprotection.secret import Secret
from hgs.statefile import container
from hgs.statefile.container import CHUNK, LEAST_WORK, MOST_WORK, Envelope, Writer, checked_passphrase, open_envelope
from hgs.statefile.errors import StateFileError
from tests.hgs.statefile.files import PASSPHRASE, enveloped

HEADER, BEGIN = 28, 44


@cache
def envelope() -> Envelope:
    """The key of every file of these tests: their salt is the same."""
    return open_envelope(BytesIO(enveloped(b"")), PASSPHRASE)


def content_of(file: bytes) -> bytes:
    return b"".join(container.chunks(BytesIO(file[BEGIN:]), envelope()))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17])
def test_what_goes_in_comes_out(size: int) -> None:
    content = hashlib.shake_128(b"content").digest(size)
    file = enveloped(content)
    assert content_of(file) == content
    chunks = max(1, -(-size // CHUNK))
    assert len(file) == BEGIN + size + 16 * chunks, "a tag for each chunk, and no empty last one"


@given(st.lists(st.binary(max_size=3 * CHUNK // 2), max_size=4))
@settings(max_examples=20, deadline=None)
def test_how_it_was_written_does_not_matter(pieces: list[bytes]) -> None:
    out = BytesIO()
    writer = Writer(out, PASSPHRASE, lambda size: bytes(range(size)), LEAST_WORK)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    assert out.getvalue() == enveloped(b"".join(pieces))


def test_the_bytes_are_those_of_the_format_page() -> None:
    content = bytes(CHUNK) + b"rest"
    header = b"GFHGSST\n" + bytes([1, 14, 8, 1]) + bytes(range(16))
    key = AESGCM(Scrypt(salt=bytes(range(16)), length=32, n=2**14, r=8, p=1).derive(b"a passphrase for tests"))
    first = key.encrypt(bytes(12), bytes(CHUNK), header)
    last = key.encrypt(bytes(10) + b"\x01\x01", b"rest", header)
    assert enveloped(content) == header + key.encrypt(b"\xff" * 12, b"", header) + first + last


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_flipped_bit_after_the_beginning_is_noticed(data: st.DataObject) -> None:
    file = bytearray(enveloped(bytes(CHUNK + 100)))
    at = data.draw(st.integers(BEGIN, len(file) - 1))
    file[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateFileError, match="damaged or cut off"):
        content_of(bytes(file))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_other_length_is_noticed(data: st.DataObject) -> None:
    file = enveloped(bytes(CHUNK + 100))
    end = data.draw(st.integers(BEGIN, len(file) - 1))
    with pytest.raises(StateFileError, match="damaged or cut off"):
        content_of(file[:end])
    with pytest.raises(StateFileError, match="damaged or cut off"):
        content_of(file + file[end:])


@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda rest: container.MAGIC + b"\x01" + rest))
@settings(deadline=None)
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(StateFileError):
        open_envelope(BytesIO(data), PASSPHRASE)


@pytest.mark.parametrize(("at", "value"), [(9, LEAST_WORK - 1), (9, MOST_WORK + 1), (9, 63), (10, 9), (11, 2)])
def test_nobodys_file_makes_hgs_work_more_than_it_ever_asks_for(
    at: int, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bytearray(enveloped(b""))
    file[at] = value
    monkeypatch.setattr(container, "Scrypt", None)
    with pytest.raises(StateFileError, match="another amount of work"):
        open_envelope(BytesIO(bytes(file)), PASSPHRASE)


def test_a_header_of_another_file_is_noticed() -> None:
    one, other = enveloped(b"one"), BytesIO()
    writer = Writer(other, PASSPHRASE, lambda size: bytes(size), LEAST_WORK)
    writer.write(b"other")
    writer.finish()
    mixed = one[:BEGIN] + other.getvalue()[BEGIN:]
    with pytest.raises(StateFileError, match="damaged"):
        content_of(mixed)
    with pytest.raises(StateFileError, match="passphrase is wrong"):
        open_envelope(BytesIO(one[:HEADER] + other.getvalue()[HEADER:]), PASSPHRASE)


def test_a_passphrase_is_the_same_however_its_letters_are_composed() -> None:
    assert checked_passphrase("gefa\u0308hrliche Wörter") == checked_passphrase("gefährliche Wo\u0308rter")
    assert checked_passphrase("twelve chars") == Secret(b"twelve chars")


@pytest.mark.parametrize("passphrase", ["", "eleven char", "x" * 1025, "a\u0308" * 11])
def test_a_passphrase_of_another_length_is_refused(passphrase: str) -> None:
    with pytest.raises(StateFileError, match="12 to 1024 characters"):
        checked_passphrase(passphrase)


def test_the_key_prints_nothing() -> None:
    assert envelope().key.reveal() not in repr(envelope()).encode("latin-1", "replace")
    assert "<secret>" in repr(envelope())
