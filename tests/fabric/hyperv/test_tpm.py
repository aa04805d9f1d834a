"""What a host's TPM does and refuses, on a real software TPM."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fabric.hyperv.errors import TpmError
from fabric.hyperv.locks import Busy, exclusive
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.swtpm import SoftwareTpm
from fabric.hyperv.tpm import HostTpmAccess, KeyBlob, identity_decrypt, open_tpm
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.tpm import (
    TpmsAttest,
    TpmtPublic,
    TpmtSignature,
    make_credential,
    name_of,
    spki_of,
    to_cryptography_key,
    verify_signature,
)
from tests.fabric.hyperv.conftest import BootedHost

pytestmark = pytest.mark.tpm
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def encrypted_for(blob: KeyBlob, data: bytes) -> bytes:
    key = to_cryptography_key(TpmtPublic.parse(blob.public_area))
    assert isinstance(key, rsa.RSAPublicKey)
    return key.encrypt(data, OAEP)


def test_endorsement_certificate_certifies_the_endorsement_key(booted: BootedHost) -> None:
    config = booted()
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        certificate, public = tpm.ek_certificate(), tpm.ek_public()
    certified = parse_ek_certificate(certificate).public_key
    assert spki_of(certified) == spki_of(to_cryptography_key(TpmtPublic.parse(public)))


def test_credential_opens_only_for_the_key_it_was_made_for(booted: BootedHost) -> None:
    config = booted()
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        mine, other = tpm.create_attestation_key(), tpm.create_attestation_key()
        endorsement = TpmtPublic.parse(tpm.ek_public())
        name = name_of(TpmtPublic.parse(mine.public_area))
        credential, encrypted = make_credential(endorsement, name, b"s" * 32, lambda size: b"r" * size)
        assert tpm.activate(mine, credential, encrypted) == b"s" * 32
        with pytest.raises(TpmError):
            tpm.activate(other, credential, encrypted)


def test_quote_and_certification_verify_under_the_attestation_key(booted: BootedHost) -> None:
    config = booted()
    identity = KeyBlob.parse(config.state.identity_key.read_bytes())
    attestation = KeyBlob.parse(config.state.attestation_key.read_bytes())
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        statements = [
            tpm.quote(attestation, b"n" * 32, (0, 7, 12)),
            tpm.certify_identity(attestation, identity, b"n" * 32),
        ]
    signer = TpmtPublic.parse(attestation.public_area)
    for statement, signature in statements:
        verify_signature(signer, statement, TpmtSignature.parse(signature))
        assert TpmsAttest.parse(statement).extra_data == b"n" * 32


def test_identity_key_opens_what_was_encrypted_for_it(booted: BootedHost) -> None:
    config = booted()
    ciphertext = encrypted_for(KeyBlob.parse(config.state.identity_key.read_bytes()), b"a transport key")
    assert identity_decrypt(config.tpm_access, ciphertext) == b"a transport key"


def test_identity_key_dies_with_the_boot(booted: BootedHost) -> None:
    config = booted()
    old = config.state.identity_key.read_bytes()
    ciphertext = encrypted_for(KeyBlob.parse(old), b"a transport key")
    boot_host(config)
    config.state.identity_key.write_bytes(old)
    with pytest.raises(TpmError):
        identity_decrypt(config.tpm_access, ciphertext)


@pytest.mark.parametrize("pcr", [4, 7, 13])
def test_identity_key_is_useless_once_something_else_is_measured(booted: BootedHost, pcr: int) -> None:
    config = booted()
    ciphertext = encrypted_for(KeyBlob.parse(config.state.identity_key.read_bytes()), b"a transport key")
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        tpm.extend(pcr, b"\1" * 32)
    with pytest.raises(TpmError):
        identity_decrypt(config.tpm_access, ciphertext)


def test_key_of_another_host_does_not_load(booted: BootedHost) -> None:
    first, second = booted("hv01"), booted("hv02")
    stolen = HostTpmAccess(second.tcti, second.state.tpm_lock, first.state.identity_key)
    ciphertext = encrypted_for(KeyBlob.parse(first.state.identity_key.read_bytes()), b"a transport key")
    with pytest.raises(TpmError):
        identity_decrypt(stolen, ciphertext)


def test_damaged_key_file_is_refused_with_a_reason(booted: BootedHost) -> None:
    config = booted()
    config.state.identity_key.write_bytes(config.state.identity_key.read_bytes()[:-1])
    with pytest.raises(TpmError, match="damaged"):
        identity_decrypt(config.tpm_access, b"\0" * 256)


def test_many_users_take_turns(booted: BootedHost) -> None:
    config = booted()
    ciphertext = encrypted_for(KeyBlob.parse(config.state.identity_key.read_bytes()), b"x")
    opened: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: opened.append(identity_decrypt(config.tpm_access, ciphertext)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert opened == [b"x"] * 6


def test_user_who_never_lets_go_is_reported_as_busy(booted: BootedHost) -> None:
    config = booted()
    with (
        exclusive(config.state.tpm_lock, seconds=1, what="The TPM"),
        pytest.raises(Busy, match="TPM has been in use"),
        open_tpm(config.tcti, config.state.tpm_lock, seconds=0.1),
    ):
        pass


def test_tpm_that_is_off_says_so(booted: BootedHost) -> None:
    config = booted()
    config.state.tpm.switch_off()
    with pytest.raises(TpmError, match="does not answer"), open_tpm(config.tcti, config.state.tpm_lock):
        pass


def test_state_folder_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "tpm"
    tpm = SoftwareTpm(deep)
    assert len(bytes(tpm.socket)) + len(".ctrl") < 108
    tpm.manufacture(tmp_path / "ca", "hv01")
    try:
        tpm.switch_on()
        assert tpm.running
    finally:
        tpm.switch_off()
    assert not tpm.running


def test_pid_file_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    tpm = SoftwareTpm(tmp_path / "tpm")
    tpm.directory.mkdir()
    (tpm.directory / "pid").write_text("1")
    assert not tpm.running
    tpm.switch_off()


@pytest.mark.parametrize(
    "value",
    [{}, {"tcti": "a", "lock": "b"}, {"tcti": 1, "lock": "b", "identity_key": "c"},
     {"tcti": "a", "lock": "b", "identity_key": "c", "more": "d"}],
)  # fmt: skip
def test_access_from_elsewhere_is_read_strictly(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="exactly"):
        HostTpmAccess.from_json(value)


def test_access_survives_json() -> None:
    access = HostTpmAccess("swtpm:path=/a", Path("/lock"), Path("/key"))
    assert HostTpmAccess.from_json(access.to_json()) == access
