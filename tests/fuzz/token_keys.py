"""Keys in tokens: the URIs that name them, and what is left of a ciphertext after raw RSA."""

from contextlib import suppress

from hgs.keyprotection import oaep
from hgs.pkcs11_uri import parse_token_uri
from portal.kernel.errors import Invalid
from tests.fuzz.harness import run

LABEL = b"guarded-fabric transport-key"


def check(data: bytes) -> None:
    """URIs have one way to be written; an encoding opens whole or fails in the one way."""
    with suppress(Invalid):
        uri = parse_token_uri(data.decode("latin-1"))
        assert parse_token_uri(str(uri)) == uri
    try:
        message = oaep.unpad(data, LABEL)
    except ValueError as error:
        if error.args != (oaep.FAILED,):
            raise AssertionError("An encoding fails in more than one way.") from error
        return
    assert len(message) <= len(data) - oaep.SMALLEST


if __name__ == "__main__":
    run("token_keys")
