"""TPM structures: real ones read right, everything survives, anything else is refused."""

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation import tpm
from hgs.attestation.errors import AttestationError, Malformed, SignatureInvalid, Unsupported
from hgs.attestation.tpm import Algorithm, Attributes, Curve, PcrSelection, TpmsAttest, TpmtPublic, TpmtSignature
from tests.hgs.attestation.samples import index, sample
from tests.hgs.attestation.tpm_hosts import AK_ATTRIBUTES, PythonTpm, ecc_public, rsa_public

ALL_HASHES = frozenset(tpm.DIGEST_SIZES)


@pytest.mark.parametrize("entry", index("quotes"), ids=lambda entry: entry["folder"])
def test_real_quotes_verify_and_survive(entry: dict[str, Any]) -> None:
    quote = sample(f"{entry['folder']}/quote.bin")
    signature = TpmtSignature.parse(sample(f"{entry['folder']}/signature.bin"))
    key = load_pem_public_key(sample(f"{entry['folder']}/ak.pem"))
    attest = TpmsAttest.parse(quote)
    assert attest.serialise() == quote
    assert attest.extra_data.hex() == entry["extra_data"]
    assert isinstance(attest.attested, tpm.QuoteInfo)
    assert attest.attested.selections[0].pcrs == tuple(range(24))
    tpm.verify_signature(key, quote, signature, hashes=ALL_HASHES)  # type: ignore[arg-type]
    for at in range(len(quote)):
        flipped = quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1 :]
        with pytest.raises(SignatureInvalid):
            tpm.verify_signature(key, flipped, signature, hashes=ALL_HASHES)  # type: ignore[arg-type]


def test_a_real_attestation_key_has_the_name_that_its_tpm_certified() -> None:
    data = sample("quotes/windows_gcp_shielded_vm/ak.tpmt_public.bin")
    public = TpmtPublic.parse(data)
    assert public.serialise() == data
    creation = TpmsAttest.parse(sample("quotes/windows_gcp_shielded_vm/ak.createattestation.bin")).attested
    assert isinstance(creation, tpm.CreationInfo)
    assert creation.object_name == tpm.name_of(public)
    pem = load_pem_public_key(sample("quotes/windows_gcp_shielded_vm/ak.pem"))
    assert tpm.to_cryptography_key(public) == pem


def test_sha1_signatures_are_no_evidence() -> None:
    folder = "quotes/windows_gcp_shielded_vm"
    public = TpmtPublic.parse(sample(f"{folder}/ak.tpmt_public.bin"))
    signature = TpmtSignature.parse(sample(f"{folder}/signature.bin"))
    with pytest.raises(Unsupported, match="SHA1"):
        tpm.verify_signature(public, sample(f"{folder}/quote.bin"), signature)


# ---- round trips ---------------------------------------------------------------------------------------------------

ATTRIBUTES = st.sets(st.sampled_from(list(Attributes))).map(lambda found: Attributes(sum(found)))
SCHEMES = st.none() | st.builds(
    tpm.Scheme,
    st.sampled_from([Algorithm.RSASSA, Algorithm.RSAPSS, Algorithm.OAEP, Algorithm.ECDSA]),
    st.sampled_from(list(tpm.DIGEST_SIZES)),
)
SYMMETRIC = st.none() | st.builds(tpm.Symmetric, st.sampled_from([128, 192, 256]))
COORDINATES = st.binary(max_size=66)
PUBLICS = st.one_of(
    st.builds(
        TpmtPublic,
        st.just(Algorithm.SHA256),
        ATTRIBUTES,
        st.sampled_from([b"", bytes(32)]),
        st.builds(tpm.RsaParameters, SYMMETRIC, SCHEMES, st.just(2048), st.integers(0, 2**32 - 1)),
        st.binary(min_size=256, max_size=256),
    ),
    st.builds(
        TpmtPublic,
        st.just(Algorithm.SHA384),
        ATTRIBUTES,
        st.sampled_from([b"", bytes(48)]),
        st.builds(tpm.EccParameters, SYMMETRIC, SCHEMES, st.integers(0, 65535)),
        st.builds(tpm.EccPoint, COORDINATES, COORDINATES),
    ),
    st.builds(
        TpmtPublic,
        st.just(Algorithm.SHA256),
        ATTRIBUTES,
        st.just(b""),
        st.just(tpm.KeyedHashParameters()),
        st.binary(max_size=64),
    ),
)
DIGESTS = st.binary(max_size=64)
SELECTIONS = st.lists(
    st.builds(PcrSelection, st.sampled_from(list(tpm.DIGEST_SIZES)), st.binary(max_size=4)), max_size=4
).map(tuple)
ATTESTED = st.one_of(
    st.builds(tpm.QuoteInfo, SELECTIONS, DIGESTS),
    st.builds(tpm.CertifyInfo, DIGESTS, DIGESTS),
    st.builds(tpm.CreationInfo, DIGESTS, DIGESTS),
)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
ATTESTS = st.builds(TpmsAttest, DIGESTS, DIGESTS, st.builds(tpm.ClockInfo, U64, U32, U32, st.booleans()), U64, ATTESTED)


@given(PUBLICS)
def test_every_public_area_survives(public: TpmtPublic) -> None:
    assert TpmtPublic.parse(public.serialise()) == public


@given(ATTESTS)
def test_every_attestation_structure_survives(attest: TpmsAttest) -> None:
    assert TpmsAttest.parse(attest.serialise()) == attest


@given(SELECTIONS)
def test_every_selection_survives(selections: tuple[PcrSelection, ...]) -> None:
    assert tpm.parse_selections(tpm.serialise_selections(selections)) == selections


@given(st.sets(st.integers(0, 23)))
def test_a_selection_names_its_registers(pcrs: set[int]) -> None:
    assert PcrSelection.of(Algorithm.SHA256, pcrs).pcrs == tuple(sorted(pcrs))


PARSERS = (TpmtPublic.parse, TpmtPublic.parse_sized, TpmsAttest.parse, TpmtSignature.parse, tpm.parse_selections)


@given(st.binary(max_size=150))
def test_any_bytes_parse_or_give_a_clear_error(data: bytes) -> None:
    starts = (b"", b"\xffTCG\x80\x18", b"\x00\x01\x00\x0b", b"\x00\x23\x00\x0b", b"\x00\x18\x00\x0b")
    for parse in PARSERS:
        for start in starts:
            with suppress(AttestationError):
                parse(start + data)


@given(PUBLICS, st.integers(1, 20))
def test_a_public_area_cut_short_or_too_long_is_malformed(public: TpmtPublic, size: int) -> None:
    data = public.serialise()
    for broken in (data[:-size], data + bytes(size)):
        with pytest.raises(AttestationError):
            TpmtPublic.parse(broken)


@given(PUBLICS)
def test_a_public_area_gives_a_usable_key_or_a_clear_error(public: TpmtPublic) -> None:
    with suppress(AttestationError):
        tpm.to_cryptography_key(public)


def test_reserved_attributes_are_malformed(other_key: rsa.RSAPrivateKey) -> None:
    data = bytearray(rsa_public(other_key.public_key(), AK_ATTRIBUTES, None).serialise())
    data[4] |= 0x80
    with pytest.raises(Malformed, match="reserved"):
        TpmtPublic.parse(bytes(data))


# ---- signatures ----------------------------------------------------------------------------------------------------


def test_a_signature_of_another_scheme_than_the_keys_is_refused(host: PythonTpm) -> None:
    message, raw = host.certify(b"nonce")
    signature = TpmtSignature.parse(raw)
    tpm.verify_signature(host.ak_public, message, signature)
    with pytest.raises(SignatureInvalid, match="scheme"):
        tpm.verify_signature(host.ak_public, message, replace(signature, hash=Algorithm.SHA384))
    with pytest.raises(SignatureInvalid):
        tpm.verify_signature(host.identity_public, message, signature)


@pytest.mark.parametrize("values", [(b"", b""), (b"\x00" * 32, b"\x00" * 32), (b"\xff" * 66, b"\xff" * 66)])
def test_impossible_signature_values_are_refused(host: PythonTpm, values: tuple[bytes, ...]) -> None:
    with pytest.raises(SignatureInvalid):
        tpm.verify_signature(host.ak_public, b"m", TpmtSignature(Algorithm.ECDSA, Algorithm.SHA256, values))


# ---- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
@given(secret=st.binary(min_size=1, max_size=32))
def test_only_the_named_key_opens_it(kind: str, secret: bytes, ek_keys: dict[str, Any], other_key: Any) -> None:
    host = PythonTpm(ek_keys[kind], identity=other_key)
    credential, encrypted = tpm.make_credential(host.ek_public, tpm.name_of(host.ak_public), secret, os.urandom)
    assert host.activate(credential, encrypted) == secret
    host.ak = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="INTEGRITY"):
        host.activate(credential, encrypted)


def test_a_credential_needs_a_storage_key_and_a_short_secret(host: PythonTpm) -> None:
    with pytest.raises(Unsupported):
        tpm.make_credential(host.ak_public, b"name", b"secret", os.urandom)
    with pytest.raises(ValueError, match="longer"):
        tpm.make_credential(host.ek_public, b"name", bytes(33), os.urandom)


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_only_template_sizes_are_endorsement_keys() -> None:
    with pytest.raises(Unsupported):
        tpm.endorsement_public(ec.generate_private_key(ec.SECP384R1()).public_key())


def test_a_point_off_the_curve_is_malformed(host: PythonTpm) -> None:
    public = ecc_public(host.ak.public_key(), AK_ATTRIBUTES)
    off = replace(public, unique=tpm.EccPoint(b"\x01" * 32, b"\x02" * 32))
    with pytest.raises(Malformed):
        tpm.to_cryptography_key(off)
    with pytest.raises(Unsupported):
        tpm.to_cryptography_key(replace(public, parameters=tpm.EccParameters(None, None, Curve.P521 + 9)))


def test_the_composite_digest_covers_selections_in_order() -> None:
    values = {Algorithm.SHA256: {0: b"\x01" * 32, 7: b"\x02" * 32}}
    one = tpm.composite_digest((PcrSelection.of(Algorithm.SHA256, (7, 0)),), values, "sha256")
    two = [PcrSelection.of(Algorithm.SHA256, (pcr,)) for pcr in (0, 7)]
    assert tpm.composite_digest(two, values, "sha256") == one
    assert tpm.composite_digest(two[::-1], values, "sha256") != one
