"""Platform identifier files (XML)."""

from contextlib import suppress

from hgs.wire.errors import WireError
from hgs.wire.platform_identifier import parse_identifier, serialise_identifier
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a file has one form."""
    with suppress(WireError):
        assert serialise_identifier(parse_identifier(data)) == data


if __name__ == "__main__":
    run("platform_identifiers")
