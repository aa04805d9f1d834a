"""SSH keys of the page beside those of the command line and of OpenSSH."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fabric.shielding import ssh
from hgs.keyprotection.secret import Secret
from tests.fabric.shielding.test_ssh import LOCKED
from tests.tenants.offline_page.core import Core, Refused

pytestmark = pytest.mark.browser


def ssh_private(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    locked = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, locked)


def ssh_public(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def test_host_keys_go_both_ways(core: Core) -> None:
    for _ in range(3):
        made = core.run("async () => (await newHostKey()).file")
        assert core.run("hostKeyLine", made) == ssh.host_key_line(Secret(made))
    own = ssh.new_host_key()
    assert core.run("hostKeyLine", own.reveal()) == ssh.host_key_line(own)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_reads_a_new_host_key_and_shows_the_same_fingerprint(core: Core, tmp_path: Path) -> None:
    path = tmp_path / "ssh_host_ed25519_key"
    path.write_bytes(core.run("async () => (await newHostKey()).file"))
    path.chmod(0o600)
    public = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True).stdout
    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True).stdout
    assert core.run("hostKeyLine", path.read_bytes()) == " ".join(public.split()[:2])
    assert core.run("sshFingerprint", public.strip()) == shown.split()[1]


def test_host_keys_that_a_guest_could_not_use_are_refused(core: Core) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    good = ssh_private(key)
    assert core.accepts("hostKeyLine", good)
    halves = [each.public_key().public_bytes_raw() for each in (key, ed25519.Ed25519PrivateKey.generate())]
    first, *middle, last = good.decode().strip().split("\n")
    octets = base64.b64decode("".join(middle)).replace(*halves)
    mixed = "\n".join((first, base64.b64encode(octets).decode(), last, "")).encode()
    for bad in (
        b"",
        good[:100],
        mixed,  # a public half that is not that of the private one
        LOCKED,
        ssh_private(rsa.generate_private_key(65537, 2048)),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    ):
        with pytest.raises(Refused) as refused:
            core.run("hostKeyLine", bad)
        assert refused.value.code == "ssh-host-key"


def test_authorized_keys_are_brought_to_one_form_alike(core: Core) -> None:
    keys = [
        ssh_public(ed25519.Ed25519PrivateKey.generate()),
        ssh_public(rsa.generate_private_key(65537, 2048)),
        *(ssh_public(ec.generate_private_key(curve)) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())),
    ]
    text = "# mine\r\n\n  " + " me@home\r\n".join(keys) + "  \n\n"
    assert core.run("checkAuthorizedKeys", text) == ssh.check_authorized_keys(text)


def test_authorized_keys_that_are_none_are_refused(core: Core) -> None:
    line = ssh_public(ed25519.Ed25519PrivateKey.generate())
    private = ssh_private(ed25519.Ed25519PrivateKey.generate()).decode()
    bad = [
        "",
        "# none\n",
        "hello\n",
        f'command="x" {line}\n',
        "ssh-ed25519 AAAA\n",
        line[:-4],
        private,
        f"{line}\n" * 65,
    ]
    bad += [f"ssh-rsa {line.split()[1]}", f"{line}A", line.replace("AAAAC3", "AAAAC4")]
    for text in bad:
        assert not core.accepts("checkAuthorizedKeys", text), text
