"""Signed notes, checkpoints and verifier keys of the key log."""

from contextlib import suppress

from hgs.transparency.checkpoint import open_checkpoint, parse_checkpoint
from hgs.transparency.errors import NoteError
from hgs.transparency.note import VerifierKey, open_note
from tests.fuzz.harness import run
from tests.hgs.transparency.bundles import VKEY


def check(data: bytes) -> None:
    """Only the package's own errors; what parses is written back; no key signs what it did not."""
    with suppress(NoteError):
        checkpoint = open_checkpoint(data, VKEY)
        assert checkpoint.origin == VKEY.name
        assert data.startswith(checkpoint.text().encode() + b"\n")
    with suppress(NoteError):
        assert data.startswith(open_note(data, VKEY).encode())
    text = data.decode("utf-8", "replace")
    with suppress(NoteError):
        assert parse_checkpoint(text).text() == text
    with suppress(NoteError):
        assert str(VerifierKey.parse(text)) == text


if __name__ == "__main__":
    run("log_checkpoints")
