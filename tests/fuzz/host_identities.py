"""Who hosts say they are in the other modes: host keys, identity keys, Kerberos authorisation data, group SIDs."""

from contextlib import suppress

from hgs.attestation.errors import AttestationError
from hgs.attestation.host_key import read_host_key, read_host_key_file, verify_host_signature
from hgs.attestation.identity_key import from_cng, read_identity_key, to_cng
from hgs.attestation.pac import read_pac
from hgs.attestation.sid import Sid, read_host_group
from hgs.wire.errors import WireError
from hgs.wire.negotiate import read_header, write_header
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; keys keep their identity in every form, and nothing verifies by chance."""
    with suppress(AttestationError):
        key = read_host_key(data)
        assert read_host_key(key.spki).fingerprint == key.fingerprint
        with suppress(AttestationError):
            verify_host_signature(key, data[:256], b"message")
            raise AssertionError("A signature that nobody made verifies.")
    with suppress(AttestationError):
        read_host_key_file(data)
    with suppress(AttestationError):
        identity = read_identity_key(data)
        again = from_cng(to_cng(identity))
        assert again is not None
        assert again.public_numbers() == identity.public_numbers()
    with suppress(AttestationError):
        account = read_pac(data)
        assert account.primary_group in account.groups
        assert all(Sid.parse(str(group)) == group for group in account.groups)
    text = data.decode("latin-1")
    with suppress(AttestationError):
        assert str(read_host_group(text)) == text
    with suppress(WireError):
        token = read_header(text)
        assert not token or read_header(write_header(token)) == token


if __name__ == "__main__":
    run("host_identities")
