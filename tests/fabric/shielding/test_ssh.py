import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from fabric.shielding.errors import ShieldingContentError
from fabric.shielding.ssh import check_authorized_keys, host_key_line, new_host_key
from hgs.keyprotection.secret import Secret


def test_a_new_host_key_has_a_public_line() -> None:
    assert host_key_line(new_host_key()).startswith("ssh-ed25519 AAAA")


def _pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> Secret:
    return Secret(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


# Made by `ssh-keygen -t ed25519 -N passphrase`; no key anybody uses.
LOCKED = b"""-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAgdAUuLS
YboXg29ba+r295AAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIFRVa5nHKSJeY2Y9
mikg7aLPrbIGRI+hmeksxD50Z68ZAAAAkAqphIS90mYxc3n6g1uIt+FZgjnL3dt3wnxZ7R
DJvqY9V8Out24HCnf3AIkjgpH2p/4uU+QCXKSudkB/rJ1Qq+7ebDucAodK5RFsa4tA+8nd
Jl4YWQdo8ZS5b1JhZBMLtyZ3epTQvHc/kdCstLwcK5Deh7g1n2aUJvmUp4uDrdKeIy3QH7
6uBMD906UZ4RBiFQ==
-----END OPENSSH PRIVATE KEY-----
"""


def test_host_keys_that_a_guest_could_not_use_are_refused() -> None:
    for bad in (
        Secret(b"-----BEGIN canary"),
        _pem(rsa.generate_private_key(65537, 2048), serialization.PrivateFormat.OpenSSH),
        _pem(ed25519.Ed25519PrivateKey.generate(), serialization.PrivateFormat.PKCS8),
        Secret(LOCKED),
    ):
        with pytest.raises(ShieldingContentError) as caught:
            host_key_line(bad)
        assert "canary" not in caught.value.message


def test_authorized_keys_lose_comments_and_empty_lines() -> None:
    line = host_key_line(new_host_key()) + " me@home"
    assert check_authorized_keys(f"# mine\n\n  {line}  \n") == f"{line}\n"


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello\n", 'command="x" ssh-ed25519 AAAA\n', "ssh-ed25519 AAAA\n"])
def test_authorized_keys_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ShieldingContentError):
        check_authorized_keys(text)
