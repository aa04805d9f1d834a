"""Code-integrity policies, bare or inside CMS."""

import hashlib
from contextlib import suppress

from hgs.attestation.ci_policy import parse_ci_policy
from hgs.attestation.errors import AttestationError
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; a policy is part of its file, and its digest is that of its content."""
    with suppress(AttestationError):
        policy = parse_ci_policy(data)
        assert policy.content in data
        assert policy.signed or policy.content == data
        assert policy.digest == hashlib.sha256(policy.content).hexdigest()
        assert policy.content.startswith(policy.header.serialise())


if __name__ == "__main__":
    run("ci_policies")
