"""What can be wrong with a log: a closed set of errors.

`code` is stable; `message` says what happened, `advice` what to do. Neither ever contains a secret.
"""

from __future__ import annotations


class TransparencyError(Exception):
    """Base of all errors of this package."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


class TreeError(TransparencyError):
    """A frontier or a proof that is not of the documented form, or does not prove what it should."""


class TileError(TransparencyError):
    """A tile's path, a tile or an entry bundle that is not of the documented form."""


class NoteError(TransparencyError):
    """A signed note, a verifier key or a checkpoint that is not of the documented form, or is not signed by the key."""


class EntryError(TransparencyError):
    """An entry of the log, or its details, that are not of the documented form."""


class AuditError(TransparencyError):
    """A bundle does not prove what it should. `index`: the entry of the log that shows it, where it is one entry's."""

    def __init__(self, code: str, message: str, advice: str = "", index: int | None = None) -> None:
        super().__init__(code, message, advice)
        self.index = index
