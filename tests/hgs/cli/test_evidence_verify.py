"""``gf evidence verify``: a quote is accepted when everything about it holds and is explained, and else refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hgs.attestation.tcglog import (
    EV_EFI_ACTION,
    EV_EVENT_TAG,
    EV_SEPARATOR,
    EventLog,
    EventLogBuilder,
    parse_log,
    replay,
)
from hgs.attestation.tpm import Algorithm, Attributes, PcrSelection, TpmtSignature
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import index, sample
from tests.hgs.attestation.tpm_hosts import AK_ATTRIBUTES, ecc_public
from tests.hgs.cli.evidence_files import (
    KEY,
    NONCE,
    RSA_KEY,
    QuoteCase,
    answer,
    attest_certify,
    attest_quote,
    pcrs_json,
    pem,
    public_area,
    run,
    sign,
    sign_rsa,
)

SHA1, SHA256 = Algorithm.SHA1, Algorithm.SHA256
PCRS = (0, 1, 7, 12, 13, 14)
SELECTION = PcrSelection.of(SHA256, PCRS)
LOG = Boot(locality=3).log().build()


def values(log: EventLog = LOG, bank: Algorithm = SHA256) -> dict[int, bytes]:
    found = replay(log, bank)
    return {pcr: found.get(pcr, bytes(32)) for pcr in range(24)}


@pytest.fixture
def case(tmp_path: Path) -> QuoteCase:
    attest = attest_quote((SELECTION,), {SHA256: values()})
    return QuoteCase(tmp_path, attest, sign(attest), log=LOG.serialise())


def with_pcrs(case: QuoteCase, changes: dict[int, bytes] | None = None, log: bytes | None = None) -> QuoteCase:
    given = {pcr: values()[pcr] for pcr in PCRS} | (changes or {})
    return replace(case, log=log, pcrs=pcrs_json({"sha256": given}))


@pytest.mark.parametrize("entry", index("quotes"), ids=lambda entry: str(entry["folder"]))
@pytest.mark.parametrize("given", ["log", "pcrs", "both"])
def test_real_quotes_are_accepted(entry: dict[str, Any], given: str, tmp_path: Path) -> None:
    folder = entry["folder"]
    case = QuoteCase(
        tmp_path,
        sample(f"{folder}/quote.bin"),
        sample(f"{folder}/signature.bin"),
        sample(f"{folder}/ak.pem"),
        bytes.fromhex(entry["extra_data"]) or None,  # one sample was made without any
        sample(entry["eventlog"]) if given != "pcrs" else None,
        sample(f"{folder}/pcrs.json") if given != "log" else None,
    )
    assert case.code() == (0, "accepted")
    assert replace(case, nonce=b"other").code() == (1, "nonce")
    assert replace(case, log=None, pcrs=None).code() == (1, "unexplained")


def test_a_real_certification_of_a_key_is_no_quote(tmp_path: Path) -> None:
    folder = "quotes/windows_gcp_shielded_vm"
    attest, signature = sample(f"{folder}/ak.createattestation.bin"), sample(f"{folder}/ak.createsignature.bin")
    ak, pcrs = sample(f"{folder}/ak.tpmt_public.bin"), sample(f"{folder}/pcrs.json")
    assert QuoteCase(tmp_path, attest, signature, ak, None, None, pcrs).code() == (1, "not-a-quote")


def test_a_quote_is_explained_by_a_log_with_startup_locality(case: QuoteCase) -> None:
    result = case.verify()
    assert result.exit_code == 0
    assert "The quote is accepted." in result.stdout
    assert case.verify("--json").exit_code == 0


def test_the_answer_lists_every_check_and_what_was_not_checked(case: QuoteCase) -> None:
    found = answer(replace(case, nonce=None).verify("--json"))
    assert found["accepted"] is True
    assert [check["check"] for check in found["checks"]] == ["signature", "quote", "explained"]  # type: ignore[attr-defined]
    assert any("freshness" in text or "fresh" in text for text in found["warnings"])  # type: ignore[attr-defined]
    assert [check["check"] for check in answer(case.verify("--json"))["checks"]] == [  # type: ignore[attr-defined]
        "signature",
        "quote",
        "nonce",
        "explained",
    ]


def warnings(case: QuoteCase) -> list[str]:
    found = answer(case.verify("--json"))
    assert found["accepted"] is True
    return found["warnings"]  # type: ignore[return-value]


def quoted(case: QuoteCase, pcrs: tuple[int, ...], bank: Algorithm = SHA256, nonce: bytes = NONCE) -> QuoteCase:
    """A quote of these registers as the log leaves them."""
    log = two_banks()
    size = 32 if bank == SHA256 else 20
    truth = {pcr: replay(log, bank).get(pcr, bytes(size)) for pcr in pcrs}
    attest = attest_quote((PcrSelection.of(bank, pcrs),), {bank: truth}, nonce)
    return replace(case, attest=attest, signature=sign(attest), nonce=nonce, log=log.serialise())


@pytest.mark.parametrize("text", ["", " ", "0x"])
def test_an_empty_nonce_is_a_wrong_use_whatever_the_quote_is_over(case: QuoteCase, text: str) -> None:
    for over in (b"", NONCE):
        given = replace(quoted(case, (7,), nonce=over), nonce=None)
        result = given.verify("--nonce", text)
        assert result.exit_code == 2
        assert "empty" in result.output
        assert given.verify("--json", "--nonce", text).exit_code == 2


def test_a_short_nonce_is_checked_and_what_it_is_worth_is_told(case: QuoteCase) -> None:
    short = quoted(case, (7,), nonce=bytes.fromhex("deadbeef"))
    assert any("4 bytes" in text and "guess" in text for text in warnings(short))
    assert replace(short, nonce=bytes.fromhex("deadbeee")).code() == (1, "nonce")
    assert replace(short, nonce=b"\xde").code() == (1, "nonce")
    assert not any("guess" in text for text in warnings(quoted(case, (7,), nonce=bytes(range(8)))))


def test_registers_of_a_sha1_bank_are_accepted_with_a_warning(case: QuoteCase) -> None:
    assert any("SHA-1 bank" in text for text in warnings(quoted(case, (7,), SHA1)))
    assert not any("SHA-1 bank" in text for text in warnings(quoted(case, (7,))))


def test_registers_that_any_program_resets_are_told(case: QuoteCase) -> None:
    alone = warnings(quoted(case, (16, 23)))
    assert any("PCR 16, 23" in text and "no other" in text for text in alone)
    among = warnings(quoted(case, (7, 23)))
    assert any("PCR 23" in text and "reset" in text and "no other" not in text for text in among)
    assert not any("reset" in text for text in warnings(quoted(case, (7,))))


@pytest.mark.parametrize("nonce", [NONCE[:-1], NONCE + b"\x00", bytes(16)])
def test_another_nonce_is_refused(case: QuoteCase, nonce: bytes) -> None:
    assert replace(case, nonce=nonce).code() == (1, "nonce")


def test_a_nonce_that_is_not_hexadecimal_is_a_wrong_use(case: QuoteCase) -> None:
    assert replace(case, nonce=None).verify("--nonce", "xyz").exit_code == 2
    assert replace(case, nonce=bytes(65)).verify().exit_code == 2


@pytest.mark.parametrize("selections", [(), (PcrSelection(SHA256, bytes(3)),)])
def test_an_empty_selection_is_refused(case: QuoteCase, selections: tuple[PcrSelection, ...]) -> None:
    attest = attest_quote(selections, {SHA256: {}})
    forged = replace(case, attest=attest, signature=sign(attest))
    assert forged.code() == (1, "empty-selection")
    assert with_pcrs(forged).code() == (1, "empty-selection")


def test_a_certification_in_place_of_a_quote_is_refused(case: QuoteCase) -> None:
    attest = attest_certify()
    assert replace(case, attest=attest, signature=sign(attest)).code() == (1, "not-a-quote")


def test_what_no_tpm_made_is_refused_although_it_is_signed(case: QuoteCase) -> None:
    attest = b"\xffTCH" + case.attest[4:]
    assert replace(case, attest=attest, signature=sign(attest)).code() == (1, "not-generated")


def test_a_quote_by_another_key_is_refused(case: QuoteCase) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert replace(case, ak=pem(other)).code() == (1, "signature")
    assert replace(case, ak=pem(RSA_KEY)).code()[0] in (1, 2)


@pytest.mark.parametrize("at", range(0, 145, 3))
def test_every_flipped_byte_of_the_quote_is_refused(case: QuoteCase, at: int) -> None:
    at = min(at, len(case.attest) - 1)
    flipped = case.attest[:at] + bytes([case.attest[at] ^ 1]) + case.attest[at + 1 :]
    assert replace(case, attest=flipped).verify().exit_code == 1


def test_every_flipped_byte_of_the_signature_is_refused(case: QuoteCase) -> None:
    for at in range(len(case.signature)):
        flipped = case.signature[:at] + bytes([case.signature[at] ^ 1]) + case.signature[at + 1 :]
        assert replace(case, signature=flipped).verify().exit_code == 1, at


# ---- encodings -----------------------------------------------------------------------------------------------------


def test_prefixed_structures_and_public_areas_are_accepted(case: QuoteCase) -> None:
    prefixed = len(case.attest).to_bytes(2, "big") + case.attest
    area = public_area().serialise()
    assert replace(case, attest=prefixed).code() == (0, "accepted")
    assert replace(case, ak=area).code() == (0, "accepted")
    assert replace(case, ak=len(area).to_bytes(2, "big") + area).code() == (0, "accepted")


def test_bare_signatures_are_accepted(case: QuoteCase) -> None:
    der = KEY.sign(case.attest, ec.ECDSA(hashes.SHA256()))
    assert replace(case, signature=der).code() == (0, "accepted")
    numbers = TpmtSignature.parse(case.signature).values
    assert replace(case, signature=b"".join(numbers)).code() == (0, "accepted")
    assert replace(case, signature=sign_rsa(case.attest), ak=pem(RSA_KEY)).code() == (0, "accepted")
    assert replace(case, signature=sign_rsa(case.attest + b"x"), ak=pem(RSA_KEY)).code() == (1, "signature")


def test_an_attestation_key_that_signs_anything_is_refused(case: QuoteCase) -> None:
    for absent in (
        Attributes.RESTRICTED,
        Attributes.FIXED_TPM,
        Attributes.FIXED_PARENT,
        Attributes.SENSITIVE_DATA_ORIGIN,
    ):
        attributes = AK_ATTRIBUTES & ~absent
        area = ecc_public(KEY.public_key(), attributes).serialise()
        assert replace(case, ak=area).code() == (1, "key-not-restricted")


def test_weak_and_unsupported_schemes_are_refused(case: QuoteCase) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    assert replace(case, ak=pem(weak)).code() == (1, "weak-key")
    odd = ec.generate_private_key(ec.SECP256K1())
    assert replace(case, ak=pem(odd)).code() == (1, "weak-key")
    hmac = b"\x00\x05\x00\x0b" + bytes(32)
    assert replace(case, signature=hmac).code() == (1, "unsupported-signature")


def test_a_quote_of_a_tpm_1_2_is_refused(case: QuoteCase) -> None:
    old = b"\x01\x01\x00\x00QUOT" + bytes(40)
    assert replace(case, attest=old).code() == (1, "unsupported")


@pytest.mark.parametrize("name", ["attest", "signature", "ak", "log", "pcrs"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"\x00" * 40, b"{}", b"[1]", b"\x30\x80", b"-----BEGIN"])
def test_files_that_cannot_be_read_are_unusable(case: QuoteCase, name: str, data: bytes) -> None:
    broken = replace(case, **{name: data})
    assert broken.verify().exit_code == 2
    result = broken.verify("--json")
    assert result.exit_code == 2
    assert answer(result)["accepted"] is False


def test_a_missing_file_is_unusable(case: QuoteCase) -> None:
    assert run("verify", "--quote", case.folder / "none", "--signature", "x", "--ak", "y").exit_code == 2


def test_a_private_key_is_not_taken(case: QuoteCase) -> None:
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    result = replace(case, ak=private).verify()
    assert result.exit_code == 2
    assert "private key" in result.output


# ---- explained -----------------------------------------------------------------------------------------------------


def test_registers_alone_explain_a_quote(case: QuoteCase) -> None:
    assert with_pcrs(case).code() == (0, "accepted")
    assert with_pcrs(case, {7: bytes(32)}).code() == (1, "registers-mismatch")


def test_a_register_that_is_selected_and_not_given_is_unexplained(case: QuoteCase) -> None:
    given = {pcr: values()[pcr] for pcr in PCRS if pcr != 7}
    assert replace(case, log=None, pcrs=pcrs_json({"sha256": given})).code() == (1, "unexplained")


def test_registers_that_contradict_a_log_that_replays_are_refused(case: QuoteCase) -> None:
    wrong = with_pcrs(case, {7: bytes(32)}, LOG.serialise())
    assert wrong.code() == (1, "registers-mismatch")


def test_a_log_that_contradicts_the_quoted_registers_is_refused_by_their_names(case: QuoteCase) -> None:
    other = Boot(locality=3, secure_boot=b"\x00", boot_counter=9).log().build().serialise()
    result = with_pcrs(case, log=other).verify()
    assert result.exit_code == 1
    assert "PCR 7, 12 (sha256)" in result.stdout
    assert replace(case, log=other).code() == (1, "log-mismatch")


def test_a_log_without_the_events_of_a_register_is_refused(case: QuoteCase) -> None:
    """The register's value is given and quoted, but boot firmware logs what it measures there."""
    for pcr in (1, 13):
        events = tuple(event for event in LOG.events if event.pcr != pcr)
        assert with_pcrs(case, log=replace(LOG, events=events).serialise()).code() == (1, "log-mismatch")


def test_a_register_that_the_operating_system_extends_may_be_given(case: QuoteCase) -> None:
    selection = PcrSelection.of(SHA256, (*PCRS, 10))
    banks = {SHA256: values() | {10: b"\x07" * 32}}
    attest = attest_quote((selection,), banks)
    quoted = replace(case, attest=attest, signature=sign(attest))
    assert with_pcrs(quoted, {10: b"\x07" * 32}, LOG.serialise()).code() == (0, "accepted")
    assert quoted.code() == (1, "log-mismatch")


def two_banks() -> EventLog:
    log = EventLogBuilder((SHA1, SHA256))
    log.separators()
    return log.build()


def test_one_bank_that_replays_does_not_vouch_for_another(case: QuoteCase) -> None:
    log = two_banks()
    selections = (PcrSelection.of(SHA1, (7,)), PcrSelection.of(SHA256, (7,)))
    truth = {SHA1: replay(log, SHA1), SHA256: replay(log, SHA256)}
    attest = attest_quote(selections, truth)
    good = replace(case, attest=attest, signature=sign(attest), log=log.serialise())
    assert good.code() == (0, "accepted")
    one = parse_log(log.serialise()).events[7]
    forged_event = one._replace(digests=(one.digests[0], (int(SHA256), b"\x09" * 32)))
    events = tuple(forged_event if event is one or event == one else event for event in log.events)
    assert replace(good, log=replace(log, events=events).serialise()).code()[0] == 1
    given = pcrs_json({"sha1": truth[SHA1], "sha256": truth[SHA256]})
    assert replace(good, log=replace(log, events=events).serialise(), pcrs=given).code()[0] == 1
    old = EventLogBuilder((SHA1,))
    old.separators()
    assert replace(good, log=old.build().serialise(), pcrs=given).code() == (1, "bank-unexplained")


def test_values_of_registers_that_are_not_selected_are_not_used(case: QuoteCase) -> None:
    found = answer(with_pcrs(case, {23: b"\x05" * 32}).verify("--json"))
    assert found["accepted"] is True
    assert any("PCR 23" in text for text in found["warnings"])  # type: ignore[attr-defined]
    attest = attest_quote((PcrSelection.of(SHA256, (23,)),), {SHA256: {23: bytes(32)}})
    only = replace(case, attest=attest, signature=sign(attest))
    assert with_pcrs(only, {23: b"\x05" * 32}).code() == (1, "registers-mismatch")


def test_a_wrong_startup_locality_is_refused_and_named(case: QuoteCase) -> None:
    result = replace(case, log=Boot(locality=None).log().build().serialise()).verify()
    assert result.exit_code == 1
    assert "locality 3" in result.stdout


def test_a_log_whose_data_is_not_what_was_measured_is_refused(case: QuoteCase) -> None:
    events = tuple(
        event._replace(data=event.data.replace(b"\x01", b"\x00", 1)) if event.pcr == 12 else event
        for event in LOG.events
    )
    assert replace(case, log=replace(LOG, events=events).serialise()).code() == (1, "log-data")


def test_a_record_without_a_digest_in_the_quoted_bank_is_refused(case: QuoteCase) -> None:
    log = two_banks()
    extra = EventLogBuilder((SHA1, SHA256))
    extra.record(7, EV_EFI_ACTION, ((int(SHA1), bytes(20)),), b"nothing proves this")
    attest = attest_quote((PcrSelection.of(SHA256, (7,)),), {SHA256: replay(log, SHA256)})
    smuggled = replace(log, events=(*log.events, *extra.build().events)).serialise()
    assert replace(case, attest=attest, signature=sign(attest), log=smuggled).code() == (1, "log-data")


def test_a_log_that_is_cut_short_is_unusable(case: QuoteCase) -> None:
    assert replace(case, log=LOG.serialise()[:-5]).verify().exit_code == 2


def test_oddities_of_the_log_are_told(case: QuoteCase) -> None:
    builder = Boot(locality=3).log()
    builder.measure(12, EV_SEPARATOR, b"WBCL")
    builder.measure(12, EV_EVENT_TAG, b"after")
    log = builder.build()
    attest = attest_quote((SELECTION,), {SHA256: values(log)})
    found = answer(replace(case, attest=attest, signature=sign(attest), log=log.serialise()).verify("--json"))
    assert any("second end marker" in text for text in found["warnings"])  # type: ignore[attr-defined]


# ---- register files ------------------------------------------------------------------------------------------------


def forms(given: dict[int, bytes]) -> dict[str, bytes]:
    lines = "\n".join(f"    {pcr:<2}: 0x{value.hex().upper()}" for pcr, value in given.items())
    items = [{"Index": pcr, "Digest": value.hex(), "DigestAlg": 5} for pcr, value in given.items()]
    flat = {str(pcr): value.hex() for pcr, value in given.items()}
    return {
        "flat": json.dumps(flat).encode(),
        "nested": json.dumps({"pcrs": {"SHA-256": {k: "0x" + v for k, v in flat.items()}}}).encode(),
        "by number": json.dumps({"11": flat}).encode(),
        "list": json.dumps(items).encode(),
        "tpm2_pcrread": f"  sha256:\n{lines}\n".encode(),
        "tpm2_quote": tpm2_quote_file(given),
    }


def tpm2_quote_file(given: dict[int, bytes]) -> bytes:
    bitmap = sum(1 << pcr for pcr in given).to_bytes(4, "little")
    head = (1).to_bytes(4, "little") + b"\x0b\x00\x03" + bitmap[:4] + b"\x00"
    entries = b"".join(len(value).to_bytes(2, "little") + value.ljust(64, b"\x00") for value in given.values())
    digests = len(given).to_bytes(4, "little") + entries
    return head.ljust(132, b"\x00") + (1).to_bytes(4, "little") + digests.ljust(532, b"\x00")


@pytest.mark.parametrize("form", ["flat", "nested", "by number", "list", "tpm2_pcrread", "tpm2_quote"])
def test_registers_are_read_in_the_forms_that_tools_write(case: QuoteCase, form: str) -> None:
    given = {pcr: values()[pcr] for pcr in PCRS}
    assert replace(case, log=None, pcrs=forms(given)[form]).code() == (0, "accepted")
    assert replace(case, log=None, pcrs=forms(given | {7: bytes(32)})[form]).code() == (1, "registers-mismatch")


@pytest.mark.parametrize(
    "text",
    [
        '{"sha256": {"7": "00"}}',
        '{"sha256": {"24": "' + "00" * 32 + '"}}',
        '{"sha256": {"7": "' + "00" * 32 + '", "7": "' + "11" * 32 + '"}}',
        '{"md5": {"7": "' + "00" * 16 + '"}}',
        '{"sha256": {"7": 5}}',
        '{"sha256": {}}',
        "[" * 100000,
    ],
)
def test_register_files_with_impossible_values_are_unusable(case: QuoteCase, text: str) -> None:
    assert replace(case, log=None, pcrs=text.encode()).verify().exit_code == 2


def test_a_key_in_a_foreign_encoding_is_unusable(case: QuoteCase) -> None:
    assert replace(case, ak=b"\x30\x00").verify().exit_code == 2
