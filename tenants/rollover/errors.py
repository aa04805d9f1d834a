"""What can be wrong with a rollover bundle. `code` is stable, `message` says what happened, `advice` what to do."""

from __future__ import annotations


class BundleError(Exception):
    """A file is not a rollover bundle, was changed, or exceeds a limit: nothing of it is used."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice
