"""Recovery key escrows."""

from contextlib import suppress

from fabric.shielding.errors import RecoveryKeyError
from fabric.shielding.recovery import parse_escrow
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own error; an escrow has one form."""
    with suppress(RecoveryKeyError):
        assert parse_escrow(data).serialise() == data


if __name__ == "__main__":
    run("recovery_keys")
