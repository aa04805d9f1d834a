"""What guardians publish and keep: metadata and owner guardian files."""

from contextlib import suppress

from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.metadata import parse_metadata, serialise_parsed
from hgs.keyprotection.owner_guardian import parse_owner_guardian, serialise_owner_guardian
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; each file has one form."""
    with suppress(KeyProtectionError):
        metadata = parse_metadata(data)
        assert serialise_parsed(metadata) == data
        assert metadata.verify("fuzz").guardian.name == "fuzz"
    with suppress(KeyProtectionError):
        owner = parse_owner_guardian(data)
        assert serialise_owner_guardian(owner) == data


if __name__ == "__main__":
    run("guardian_files")
