"""Key protectors: parsed, verified, asked about their parties."""

from contextlib import suppress

from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.ownership import parties
from hgs.keyprotection.protector import import_protector, parse_protector, serialise_protector, verify_protector
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a protector has one form, and a verified one has one owner and no stray party."""
    with suppress(KeyProtectionError):
        protector = import_protector(data)
        document = serialise_protector(protector)
        assert document in {data, data[4:]}
        assert parse_protector(document) == protector
        verified = verify_protector(protector)
        found = parties(verified)
        assert [party.wrapping for party in found if not party.chain] == [verified.owner]
        assert all(party.chain[-1] == verified.owner.id for party in found if party.chain)


if __name__ == "__main__":
    run("key_protectors")
