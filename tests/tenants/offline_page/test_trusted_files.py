"""What a tenant gets from others: certificates, metadata, catalogs; taken and refused as by the command line."""

import datetime as dt
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import issue_self_signed
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.metadata import create_communications_key, serialise_metadata
from tests.hgs.keyprotection.guardians import NOW, communications, lab, owner
from tests.tenants.cli.conftest import catalog
from tests.tenants.offline_page.core import Core, Refused, owner_file, pkcs8
from tests.tenants.offline_page.walking import PASSPHRASE

pytestmark = pytest.mark.browser
OPEN_METADATA = (
    "async (file) => { const f = await openMetadata(file, 'lab'); return [f.fingerprint, f.guardian.fingerprint]; }"
)
OPEN_OWNER_AND_NAME = (
    f"async (file) => {{ const {{ guardian }} = await openOwner(file, {PASSPHRASE!r});"
    " return [guardian.name, guardian.fingerprint, guardian.encryptionFingerprint]; }"
)
OPEN_CATALOG = "async (file) => { const f = await openCatalog(file); return [f.diskName, f.version]; }"


def test_certificates_are_made_byte_for_byte_as_the_command_line_makes_them(core: Core) -> None:
    """RSASSA-PKCS1-v1_5 has no randomness, so the same key, name and time give the same certificate."""
    made = """async (key, spki, use, at) => {
      const sign = await certificateSigner(key);
      return issueSelfSigned({ commonName: `Contoso & Söhne guardian ${use}`, spki, sign, use, now: new Date(at) });
    }"""
    for key, use, now in (
        (owner().signing_key, "signing", NOW),
        (owner().encryption_key, "encryption", NOW),
        (lab().signing_key, "signing", dt.datetime(2045, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),  # ends after 2050
    ):
        spki = certificates.public_octets(key.public_key())
        expected = issue_self_signed(f"Contoso & Söhne guardian {use}", key, use, now)  # type: ignore[arg-type]
        assert core.run(made, pkcs8(key), spki, use, now.isoformat()) == expected


def test_metadata_gives_the_fingerprints_of_the_command_line(core: Core) -> None:
    found = core.run(OPEN_METADATA, serialise_metadata(lab().guardian, communications()))
    assert found == [communications().fingerprint, lab().guardian.fingerprint]


def test_metadata_with_further_certificates_opens(core: Core) -> None:
    guardian = type(lab().guardian)(
        **{
            name: getattr(lab().guardian, name)
            for name in lab().guardian.__slots__
            if name != "other_signing_certificates"
        },
        other_signing_certificates=(owner().guardian.signing_certificate,),
    )
    assert core.accepts(OPEN_METADATA, serialise_metadata(guardian, communications()))


def test_certificates_out_of_their_dates_are_named(core: Core) -> None:
    metadata = serialise_metadata(lab().guardian, communications())
    outside = "async (file, at) => datesOutside((await openMetadata(file, 'lab')).guardian, new Date(at))"
    assert core.run(outside, metadata, NOW.isoformat()) == []
    assert core.run(outside, metadata, (NOW - dt.timedelta(minutes=9)).isoformat()) == []
    assert len(core.run(outside, metadata, (NOW - dt.timedelta(minutes=11)).isoformat())) == 2
    assert len(core.run(outside, metadata, (NOW + dt.timedelta(days=3653)).isoformat())) == 2


def test_weak_and_misused_keys_are_refused(core: Core) -> None:
    weak = create_guardian_keys("lab", NOW, key_size=2048)
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too small on purpose
    check = "(certificate, use) => { certificateFor(certificate, use); }"
    cases = (
        (issue_self_signed("small", small, "signing", NOW), "signing", "key-size"),
        (weak.guardian.encryption_certificate, "signing", "key-usage"),
        (weak.guardian.signing_certificate, "encryption", "key-usage"),
        (weak.guardian.signing_certificate + b"\0", "signing", "bad-certificate"),
        (b"\0" * 9000, "signing", "certificate-too-large"),
    )
    for certificate, use, code in cases:
        with pytest.raises(Refused) as refused:
            core.run(check, certificate, use)
        assert refused.value.code == code
    assert core.accepts(check, weak.guardian.signing_certificate, "signing")


def test_metadata_of_somebody_else_s_pen_is_refused(core: Core) -> None:
    """A body whose digest is right, signed by another key than that of the certificate inside."""
    other = create_communications_key("lab", NOW, key_size=2048)
    forged = serialise_metadata(lab().guardian, type(other)(communications().certificate, other.key))
    with pytest.raises(Refused) as refused:
        core.run(OPEN_METADATA, forged)
    assert refused.value.code == "metadata-signature"


@pytest.mark.parametrize("with_blake3", [True, False])
def test_a_catalog_of_either_version_names_its_disk(core: Core, with_blake3: bool) -> None:
    made = catalog("Größe (3) v+1", "1.0.65535.0", with_blake3=with_blake3)
    assert core.run(OPEN_CATALOG, made) == ["Größe (3) v+1", "1.0.65535.0"]


def test_a_catalog_that_leaves_out_blake3_or_a_part_of_it_is_refused(core: Core) -> None:
    whole = catalog("Debian 12", "1.0.0.0")
    left_out = re.sub(rb"<Blake3>[^<]*</Blake3>", b"", whole)
    longer = re.sub(rb"(?<=<Blake3>)[^<]*(?=</Blake3>)", b64encode(bytes(64)), whole)
    assert whole not in (left_out, longer)
    for changed in (left_out, longer):
        with pytest.raises(Refused):
            core.run(OPEN_CATALOG, changed)


@pytest.mark.parametrize(
    ("expression", "made"),
    [
        (OPEN_METADATA, lambda: serialise_metadata(lab().guardian, communications())),
        (OPEN_CATALOG, lambda: catalog("Debian 12", "1.0.0.0")),
        (OPEN_CATALOG, lambda: catalog("Debian 12", "1.0.0.0", with_blake3=False)),
        (OPEN_OWNER_AND_NAME, owner_file),
    ],
    ids=["metadata", "catalog", "catalog of version 1", "owner"],
)
@settings(max_examples=40)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(
    core: Core, expression: str, made: Callable[[], bytes], data: st.DataObject
) -> None:
    """Refused, or seen in what a person compares: the name and the signer's certificate are nobody's to sign."""
    whole = made()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    shown = core.run(expression, whole)
    with suppress(Refused):
        assert core.run(expression, changed) != shown
