"""A registered host may turn malicious: what it can make HGS write, remember and compute is bounded."""

import json
import os
import time
from dataclasses import replace

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hgs.attestation import efi, modules, sipa_records
from hgs.attestation.baseline import baseline_of, compare
from hgs.attestation.ci_policy import registered as ci_registered
from hgs.attestation.endorsement import EndorsementKey
from hgs.attestation.errors import LogUnsafe, PayloadInvalid
from hgs.attestation.host_key import read_host_key
from hgs.attestation.modules import LoadedModule, loaded_module
from hgs.attestation.policies import NamedBaseline, NamedDigest
from hgs.attestation.sipa import SipaType, encode_container, encode_tlv, read_leaves
from hgs.attestation.verdict import (
    MAX_EVIDENCE,
    MAX_SENTENCE,
    MAX_WARNINGS,
    AttestationStatus,
    CheckResult,
    Outcome,
    Verdict,
)
from hgs.wire.errors import HgsaError
from hgs.wire.hgsa import parse_message
from tests.hgs.attestation.boots import CI_DIGEST, Boot, facts, judge, registered
from tests.hgs.attestation.conftest import Service
from tests.hgs.attestation.tpm_hosts import NOW, PythonTpm, answer


def module_record(path: str) -> bytes:
    text = encode_tlv(SipaType.FILE_PATH, path.encode("utf-16-le"))
    return encode_container(SipaType.LOADED_MODULE_AGGREGATION, text)


# ---- what is written -----------------------------------------------------------------------------------------------


def test_a_result_keeps_no_text_of_any_length() -> None:
    huge = "x" * 1_000_000
    result = CheckResult(
        "C", Outcome.FAILED, huge, evidence={"a": huge, "groups": huge, "b": "short"}, warnings=(huge,) * 5000
    )
    assert len(result.sentence) == MAX_SENTENCE
    assert result.sentence.endswith("…")
    assert len(result.evidence["a"]) == MAX_EVIDENCE
    assert result.evidence["b"] == "short"
    assert len(result.evidence["groups"]) < 100_000
    assert len(result.warnings) == MAX_WARNINGS
    assert result.warnings[-1] == f"And {5001 - MAX_WARNINGS} more warnings."
    assert CheckResult.from_json(result.to_json()) == result
    verdict = Verdict(AttestationStatus.INSECURE_HOST_CONFIGURATION, (), (result,))
    assert len(verdict.summary) <= MAX_SENTENCE


def test_a_result_within_the_bounds_is_left_alone() -> None:
    evidence = {"a": "b" * MAX_EVIDENCE, "groups": ", ".join(["S-1-5-21-1-2-3-1104"] * 1100)}
    result = CheckResult("C", Outcome.FAILED, "s" * MAX_SENTENCE, evidence=evidence, warnings=("w",) * MAX_WARNINGS)
    assert (result.evidence, result.sentence) == (evidence, "s" * MAX_SENTENCE)
    assert result.warnings == ("w",) * MAX_WARNINGS


def test_the_secure_boot_variable_has_one_byte_or_none() -> None:
    assert facts(Boot(secure_boot=b"")).secure_boot.state == "empty"
    with pytest.raises(LogUnsafe, match="SecureBoot"):
        facts(Boot(secure_boot=b"\x01\x01"))
    with pytest.raises(LogUnsafe, match="SecureBoot"):
        facts(Boot(secure_boot=b"\x02" * 400_000))


@pytest.mark.parametrize("size", [0, 31, 33, 100_000])
def test_a_dump_keys_digest_is_sha256(size: int) -> None:
    record = encode_tlv(SipaType.DUMP_ENCRYPTION_KEY_DIGEST, bytes(size))
    with pytest.raises(LogUnsafe, match="DUMP_ENCRYPTION_KEY_DIGEST"):
        facts(Boot(extra_settings=(record,)))


def test_what_thousands_of_long_names_leave_in_a_verdict_is_small() -> None:
    boot = Boot(modules=[module_record(f"{number}" * 5000) for number in range(200)])
    for audit in (True, False):
        policy = NamedDigest("Hosts", CI_DIGEST, audit=audit, refuses=lambda _: "because")
        result = judge(boot, registered(Boot(), ci_policies=(policy,)), "SystemIntegrityCiKnownGood")
        assert "because" in (result.warnings[-2] if audit else result.sentence)
        assert len(json.dumps(result.to_json())) < 30_000


# ---- what is remembered --------------------------------------------------------------------------------------------


def test_large_modules_are_read_and_not_remembered() -> None:
    for path, more in (("small.sys", 1), ("x" * 4000, 0)):
        record = module_record(path)
        held = sipa_records._module_values.cache_info().currsize
        read = modules._remembered.cache_info().currsize
        assert read_leaves(record, with_modules=True).modules == [record[8:]]
        assert loaded_module(record[8:]).path == path
        assert sipa_records._module_values.cache_info().currsize - held <= more
        assert modules._remembered.cache_info().currsize - read <= more


def test_large_variables_are_read_and_not_remembered() -> None:
    for size in (100, 200_000):
        boot = Boot(authority=os.urandom(size), revoked=[os.urandom(32) for _ in range(size // 32)])
        described, parsed = efi._remembered_description.cache_info(), efi._remembered_database.cache_info()
        assert len(facts(boot).secure_boot.dbx) == size // 32
        assert facts(boot).secure_boot.authorities[0].description == f"{size + 16} bytes"
        new = efi._remembered_description.cache_info().misses - described.misses
        assert new == efi._remembered_database.cache_info().misses - parsed.misses == (1 if size == 100 else 0)


def test_answers_about_drivers_survive_being_forgotten_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = ci_registered.PolicyRules.__new__(ci_registered.PolicyRules)

    class Forgetful(dict[LoadedModule, str | None]):
        """As if another thread cleared it right after whatever is done with it."""

        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            self.clear()
            return found

        def __setitem__(self, key: LoadedModule, value: str | None) -> None:
            super().__setitem__(key, value)
            self.clear()

    rules._answers = Forgetful()
    monkeypatch.setattr(rules, "_ask", lambda module: f"no {module.path}")
    assert rules.refuses(LoadedModule("a")) == "no a"
    dict.__setitem__(rules._answers, LoadedModule("a"), None)
    assert rules.refuses(LoadedModule("a")) is None


def test_answers_about_drivers_with_long_names_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = ci_registered.PolicyRules.__new__(ci_registered.PolicyRules)
    rules._answers = {}
    monkeypatch.setattr(rules, "_ask", lambda _: None)
    for module in (LoadedModule("a"), LoadedModule("a" * 5000), LoadedModule(publisher="a" * 5000)):
        assert rules.refuses(module) is None
    assert list(rules._answers) == [LoadedModule("a")]


# ---- what is computed ----------------------------------------------------------------------------------------------


def test_only_the_nearest_baseline_is_worded(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(revoked=[number.to_bytes(32, "big") for number in range(10_000)])
    policies = registered(Boot())
    others = tuple(
        NamedBaseline(f"B{number}", baseline_of(facts(Boot(revoked=[bytes([number]) * 32])))) for number in range(3, 23)
    )
    host = facts(boot)
    policies = replace(policies, baselines=(*others, *policies.baselines))
    started = time.process_time()
    result = judge(boot, policies, "SecureBootSettings")
    spent = time.process_time() - started
    expected = min((len(compare(one.baseline, host)), one.name) for one in policies.baselines)
    assert (int(result.evidence["differences"]), result.evidence["nearest_baseline"]) == expected
    assert spent < 0.5  # the whole judgement; wording all of them took 1.3 s on the same machine


@pytest.mark.parametrize(
    "value",
    [b"[" + b"1," * 510_000 + b"1]", b"[" + b'{"a":1},' * 125_000 + b"1]", b"[" + b"0.5," * 200_000 + b"1]"],
)
def test_a_megabyte_of_numbers_or_objects_is_refused_quickly(value: bytes) -> None:
    started = time.process_time()
    with pytest.raises(HgsaError):
        parse_message(b'{"Key":' + value + b',"More":1}')
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("number", [b"-1", b"256", b"1" * 400, b"9" * 5000])
def test_numbers_that_are_no_bytes_are_refused(number: bytes) -> None:
    with pytest.raises(HgsaError):
        parse_message(b'{"Key":[1,' + number + b"]}")


# ---- what is not asked for, or not an extension --------------------------------------------------------------------


def test_a_request_for_no_certificate_is_not_one(
    service: Service, host: PythonTpm, endorsement: EndorsementKey, healthy: Boot
) -> None:
    reply = answer(host, service.challenge(host, endorsement), host.boot(healthy.log()))
    with pytest.raises(PayloadInvalid, match="no certificate"):
        service.finish(endorsement, reply, requested=())


def test_a_host_keys_certificate_with_an_extension_twice_is_read_with_a_warning() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hv01")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, NOW, NOW.replace(year=NOW.year + 1))
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    broken = asn1_x509.Certificate.load(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    extensions = broken["tbs_certificate"]["extensions"]
    extensions.append(extensions[0].copy())
    found = read_host_key(broken.dump(force=True))
    assert found.key == key.public_key()
    assert found.warnings == ("The certificate's extensions cannot be read.",)
