"""``gf evidence ek``: endorsement-key certificates as manufacturers write them, and where they lead."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core, pem
from cryptography.hazmat.primitives.asymmetric import ec

from tests.hgs.attestation.samples import FOLDER, sample
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.cli.evidence_files import answer, run

TODAY = f"{NOW:%Y-%m-%d}"
KEY = ec.generate_private_key(ec.SECP256R1())
MANUFACTURER = Manufacturer()
LEAF = MANUFACTURER.certify(KEY.public_key())


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "root.cer").write_bytes(MANUFACTURER.root)
    return folder


def ek(folder: Path, data: bytes, roots: Path, *options: str) -> tuple[int, dict[str, Any]]:
    path = folder / "ek.cer"
    path.write_bytes(data)
    plain = run("ek", path, "--roots", roots, *options)
    result = run("ek", path, "--roots", roots, "--json", *options)
    assert plain.exit_code == result.exit_code
    return result.exit_code, answer(result) if result.exit_code != 2 else {}


def test_real_certificates_lead_to_their_roots(tmp_path: Path) -> None:
    nuvoton = sample("ekcerts/ek_cert_with_padded_bytes.cer")
    code, found = ek(tmp_path, nuvoton, FOLDER / "ekcerts", "--at", "2026-01-01")
    assert code == 0
    assert found["certificate"]["manufacturer_name"] == "Nuvoton"
    assert found["certificate"]["model"] == "NPCT6xx"
    assert found["certificate"]["version"] == "id:0581"
    assert "trailing-bytes" in found["certificate"]["quirks"]
    stm = sample("ekcerts/nuc-1__ek_cert_untouched.cer")
    code, found = ek(tmp_path, stm, FOLDER / "ekcerts", "--at", "2020-01-01")
    assert code == 0
    assert len(found["path"]) == 3


def test_a_certificate_that_ran_out_is_accepted_with_a_warning(tmp_path: Path) -> None:
    stm = sample("ekcerts/nuc-1__ek_cert_untouched.cer")
    code, found = ek(tmp_path, stm, FOLDER / "ekcerts", "--at", "2026-01-01")
    assert (code, found["accepted"]) == (0, True)
    assert any("ran out on 2024-02-23" in warning for warning in found["warnings"])


def test_a_certificate_of_the_future_is_refused(tmp_path: Path) -> None:
    stm = sample("ekcerts/nuc-1__ek_cert_untouched.cer")
    code, found = ek(tmp_path, stm, FOLDER / "ekcerts", "--at", "2010-01-01")
    assert code == 1
    assert "not valid before 2014-02-23" in found["reason"]


WRAPPED = {
    "der": LEAF,
    "pem": pem.armor("CERTIFICATE", LEAF),
    "pem with text": b"Certificate:\n  Data\n" + pem.armor("CERTIFICATE", LEAF),
    "storage header": bytes.fromhex("1001000000") + len(LEAF).to_bytes(2, "big") + LEAF,
    "padding of zeros": LEAF + bytes(200),
    "padding of ones": LEAF + b"\xff" * 200,
    "octet string": core.OctetString(LEAF).dump(),
    "certificate service": json.dumps({"certificate": base64.urlsafe_b64encode(LEAF).decode().rstrip("=")}).encode(),
}


@pytest.mark.parametrize("form", list(WRAPPED))
def test_certificates_are_read_in_the_forms_they_are_found_in(form: str, roots: Path, tmp_path: Path) -> None:
    code, found = ek(tmp_path, WRAPPED[form], roots, "--at", TODAY)
    assert (code, found["accepted"]) == (0, True)


def test_roots_may_be_pem_bundles_beside_files_that_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    bundle = pem.armor("CERTIFICATE", Manufacturer("Other").root) + pem.armor("CERTIFICATE", MANUFACTURER.root)
    (folder / "bundle.PEM").write_bytes(bundle)
    (folder / "broken.der").write_bytes(b"nothing")
    (folder / "notes.txt").write_bytes(b"not read")
    code, found = ek(tmp_path, LEAF, folder, "--at", TODAY)
    assert code == 0
    assert any("broken.der is left out" in text for text in found["warnings"])


def test_a_chain_to_nobody_trusted_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    assert ek(tmp_path, LEAF, folder, "--at", TODAY)[0] == 1
    (folder / "other.cer").write_bytes(Manufacturer("Other").root)
    assert ek(tmp_path, LEAF, folder, "--at", TODAY)[1]["code"] == "chain"
    (folder / "same-name.cer").write_bytes(Manufacturer().root)
    assert ek(tmp_path, LEAF, folder, "--at", TODAY)[1]["code"] == "chain"


def test_another_kind_of_certificate_is_refused(roots: Path, tmp_path: Path) -> None:
    platform = MANUFACTURER.certify(KEY.public_key(), usage="2.23.133.8.2")
    code, found = ek(tmp_path, platform, roots, "--at", TODAY)
    assert code == 1
    assert "not one of an endorsement key" in found["reason"]
    assert ek(tmp_path, MANUFACTURER.root, roots, "--at", TODAY)[0] == 1


def test_every_flipped_byte_of_a_certificate_is_refused(roots: Path, tmp_path: Path) -> None:
    for at in range(0, len(LEAF), 7):
        flipped = LEAF[:at] + bytes([LEAF[at] ^ 1]) + LEAF[at + 1 :]
        assert ek(tmp_path, flipped, roots, "--at", TODAY)[0] in (1, 2), at


@pytest.mark.parametrize("data", [b"", b"garbage", b"{}", b"\x30\x82\xff\xff", b"-----BEGIN PUBLIC KEY-----\nAA==\n"])
def test_what_is_no_certificate_is_unusable(data: bytes, roots: Path, tmp_path: Path) -> None:
    assert ek(tmp_path, data, roots)[0] == 2


def test_a_wrong_date_or_folder_is_a_wrong_use(roots: Path, tmp_path: Path) -> None:
    assert ek(tmp_path, LEAF, roots, "--at", "yesterday")[0] == 2
    assert ek(tmp_path, LEAF, tmp_path / "nowhere")[0] == 2
