import stat

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.owner_guardian import lock_owner_guardian, parse_owner_guardian
from hgs.keyprotection.pfx import write_pfx
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import owner, stranger
from tests.tenants.cli.conftest import PASSPHRASE, Desk

PFX_PASSPHRASE = "battery staple"


@pytest.fixture(autouse=True)
def _folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for slow in (write_pfx, lock_owner_guardian):
        monkeypatch.setitem(slow.__kwdefaults__, "kdf_rounds", 1000)
    (desk.folder / "pfx-passphrase").write_text(PFX_PASSPHRASE + "\n")
    (desk.folder / "keys").mkdir()


def export(desk: Desk, *more: str) -> str:
    return desk.done(
        *("guardian", "export", desk.path("owner.guardian"), "--pfx", desk.path("keys")),
        *("--passphrase-file", desk.path("passphrase"), "--pfx-passphrase-file", desk.path("pfx-passphrase"), *more),
    )


def import_arguments(desk: Desk, signing: str = "signing.pfx", encryption: str = "encryption.pfx") -> list[str]:
    files = desk.path(f"keys/{signing}"), desk.path(f"keys/{encryption}")
    return [
        *("guardian", "import", "--pfx", *files, "--name", "again"),
        *("--pfx-passphrase-file", desk.path("pfx-passphrase"), "-o", desk.path("again.guardian")),
        *("--passphrase-file", desk.path("passphrase")),
    ]


def test_both_keys_come_out_and_make_the_same_guardian_again(desk: Desk) -> None:
    said = export(desk)
    assert grouped(owner().guardian.fingerprint) in said
    desk.done(*import_arguments(desk))
    file = desk.folder / "again.guardian"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = parse_owner_guardian(file.read_bytes()).unlock(Secret(PASSPHRASE.encode()))
    assert keys.guardian.fingerprint == owner().guardian.fingerprint
    assert keys.guardian.encryption_certificate == owner().guardian.encryption_certificate
    assert keys.encryption_key.private_numbers() == owner().encryption_key.private_numbers()


def test_the_files_are_private_and_open_with_their_own_passphrase_only(desk: Desk) -> None:
    export(desk)
    for name in ("signing.pfx", "encryption.pfx"):
        file = desk.folder / "keys" / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert pkcs12.load_key_and_certificates(file.read_bytes(), PFX_PASSPHRASE.encode())[0] is not None
        with pytest.raises(ValueError):
            pkcs12.load_key_and_certificates(file.read_bytes(), PASSPHRASE.encode())


@pytest.mark.parametrize("use", ["signing", "encryption"])
def test_one_key_can_be_chosen(desk: Desk, use: str) -> None:
    export(desk, "--keys", use)
    assert [path.name for path in (desk.folder / "keys").iterdir()] == [f"{use}.pfx"]


def test_existing_files_are_kept(desk: Desk) -> None:
    export(desk, "--keys", "encryption")
    before = (desk.folder / "keys" / "encryption.pfx").read_bytes()
    refused = desk.gf("guardian", "export", desk.path("owner.guardian"), "--pfx", desk.path("keys"),
                      "--passphrase-file", desk.path("passphrase"))  # fmt: skip
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert (desk.folder / "keys" / "encryption.pfx").read_bytes() == before
    assert not (desk.folder / "keys" / "signing.pfx").exists()
    export(desk, "--force")


def test_a_short_passphrase_protects_no_pfx(desk: Desk) -> None:
    (desk.folder / "pfx-passphrase").write_text("short\n")
    refused = desk.gf(
        *("guardian", "export", desk.path("owner.guardian"), "--pfx", desk.path("keys")),
        *("--passphrase-file", desk.path("passphrase"), "--pfx-passphrase-file", desk.path("pfx-passphrase")),
    )
    assert refused.exit_code == 1
    assert "fewer than 8" in refused.stderr
    assert list((desk.folder / "keys").iterdir()) == []


def test_a_wrong_passphrase_makes_no_guardian(desk: Desk) -> None:
    export(desk)
    (desk.folder / "pfx-passphrase").write_text("another one\n")
    refused = desk.gf(*import_arguments(desk))
    assert refused.exit_code == 1
    assert "does not open the PFX file" in refused.stderr
    assert not (desk.folder / "again.guardian").exists()


def test_files_in_the_wrong_places_are_refused(desk: Desk) -> None:
    export(desk)
    swapped = desk.gf(*import_arguments(desk, "encryption.pfx", "signing.pfx"))
    assert swapped.exit_code == 1
    assert "is not meant for signing" in swapped.stderr


def test_one_key_does_not_serve_both_uses(desk: Desk) -> None:
    """A certificate without key usage would do for both; the keys must still differ."""
    from tests.hgs.keyprotection.test_guardian import _certificate

    key = stranger().signing_key
    data = write_pfx(key, _certificate(key), Secret(PFX_PASSPHRASE.encode()), kdf_rounds=1000)
    for name in ("signing.pfx", "encryption.pfx"):
        (desk.folder / "keys" / name).write_bytes(data)
    refused = desk.gf(*import_arguments(desk))
    assert refused.exit_code == 1
    assert "the same key" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("guardian", "import", "--name", "x"),
        ("guardian", "import", "hgs.xml", "--pfx", "hgs.xml", "hgs.xml", "--name", "x", "-o", "y"),
        ("guardian", "import", "--pfx", "hgs.xml", "hgs.xml", "--name", "x"),
        ("guardian", "export", "owner.guardian"),
        ("guardian", "export", "owner.guardian", "-o", "x.xml", "--pfx", "keys"),
    ],
)
def test_what_to_do_must_be_said_once(desk: Desk, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    assert desk.gf(*arguments).exit_code == 2


def test_a_guardian_of_others_has_no_private_keys_to_export(desk: Desk) -> None:
    desk.import_lab()
    refused = desk.gf("guardian", "export", "lab", "--pfx", desk.path("keys"))
    assert refused.exit_code == 1
    assert "Only an owner guardian file holds private keys" in refused.stderr
