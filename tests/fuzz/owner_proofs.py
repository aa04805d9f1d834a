"""Challenges that a portal shows an owner, and the proofs that come back."""

from contextlib import suppress

from hgs.keyprotection.certificates import fingerprint
from tenants.owner_proof import OwnerProofError, parse_challenge, verify_proof, write_challenge
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; what parses is written back; a proof is of the owner it names."""
    text = data.decode("latin-1")
    with suppress(OwnerProofError):
        assert write_challenge(parse_challenge(text)) == text
    with suppress(OwnerProofError):
        proof = verify_proof(text)
        assert fingerprint(proof.certificate) == proof.challenge.owner
        assert proof.challenge.account.isprintable()


if __name__ == "__main__":
    run("owner_proofs")
