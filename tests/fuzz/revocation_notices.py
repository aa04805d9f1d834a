"""Revocation notices."""

from contextlib import suppress

from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.revocation import parse_unverified
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a notice has one form and names at least one protector, each once."""
    with suppress(KeyProtectionError):
        notice = parse_unverified(data)
        assert notice.serialise() == data
        verified = notice.verify()
        assert len(verified.protector_ids) == len(notice.protector_ids) > 0


if __name__ == "__main__":
    run("revocation_notices")
