"""The closed set of errors that commands raise; pages, the API and the command line render them alike.

`message` says what happened and why, `advice` what to do; both are safe to show. `details` are for operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class DomainError(Exception):
    status: ClassVar[int] = 400

    def __init__(self, code: str, message: str, advice: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice
        self.details: dict[str, object] = dict(details or {})


class Invalid(DomainError):  # noqa: N818 - reads as a word: raise Invalid(...)
    """The request itself is wrong; `fields` maps a field's name to what is wrong with it."""

    def __init__(
        self,
        code: str,
        message: str,
        advice: str = "",
        details: Mapping[str, object] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message, advice, details)
        self.fields: dict[str, str] = dict(fields or {})


class Denied(DomainError):  # noqa: N818
    status = 403


class NotFound(DomainError):  # noqa: N818
    status = 404


class Conflict(DomainError):  # noqa: N818
    """The object's state does not allow it, or somebody else was faster."""

    status = 409


class Unavailable(DomainError):  # noqa: N818
    """Something this needs does not answer now, or is taken; `retry_after` says in how many seconds to ask again."""

    status = 503

    def __init__(
        self,
        code: str,
        message: str,
        advice: str = "",
        details: Mapping[str, object] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code, message, advice, details)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """What a response that says so has to have besides."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
