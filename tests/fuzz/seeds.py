"""``python -m tests.fuzz.seeds``: writes the seeds of each corpus with the project's own writers."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation import tpm
from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.ci_policy import (
    PolicyBuilder,
    PolicyOption,
    PublisherRule,
    build_ci_policy,
    write_policy_xml,
)
from hgs.attestation.identity_key import to_cng
from hgs.attestation.policies import PolicySet, evaluate_policies
from hgs.attestation.sipa import measured_boot
from hgs.attestation.tcglog import EV_SEPARATOR, EventLogBuilder, accept_reference_log, parse_log
from hgs.attestation.verdict import AttestationStatus, AttestationSubStatus, Failure, Verdict
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.owner_guardian import lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import new_protector, roll, serialise_protector, verify_protector
from hgs.keyprotection.protector_form import with_length_prefix
from hgs.keyprotection.revocation import write_notice
from hgs.keyprotection.secret import Secret
from hgs.pkcs11_uri import TokenUri
from hgs.statefile.form import LEFT_OUT
from hgs.transparency.checkpoint import Checkpoint, sign_checkpoint, signing_key
from hgs.transparency.note import sign_note
from hgs.transparency.proof import prove_entry
from hgs.transparency.tiles import serialise_entries
from hgs.wire import certbag, hgsa, kps, rtpm
from hgs.wire.negotiate import write_header
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
from tenants.owner_proof import Challenge, prove, write_challenge
from tenants.rollover.bundle import Bundle, BundleItem, BundleKind, ObjectKind, WantedGuardian, write_bundle
from tests.fuzz.account_data import account_data
from tests.fuzz.harness import CORPUS
from tests.fuzz.log_bundles import LOG, members
from tests.fuzz.shielding_seeds import answer_files, recovery_keys, shielding_data
from tests.fuzz.token_keys import LABEL
from tests.hgs.attestation.boots import Boot, identity_record
from tests.hgs.attestation.tpm_hosts import AK_ATTRIBUTES, Manufacturer, PythonTpm, rsa_public
from tests.hgs.keyprotection.guardians import NOW, branch, communications, counted_random, lab, owner, stranger
from tests.hgs.keyprotection.test_oaep import encode
from tests.hgs.statefile.files import HEAD, whole
from tests.hgs.transparency.bundles import KEY, ORIGIN, VKEY, log_of
from tests.hgs.transparency.events import REFUSAL, RELEASE

Seeds = Mapping[str, bytes]
SESSION = UUID("00112233-4455-6677-8899-aabbccddeeff")
HOST = PythonTpm(ec.generate_private_key(ec.SECP256R1()))
MAKER = Manufacturer()
EK_CERTIFICATE = MAKER.certify(HOST.ek.public_key())


def tpm_structures() -> Seeds:
    selections = (tpm.PcrSelection.of(tpm.Algorithm.SHA256, (0, 7)),)
    HOST.boot(Boot().log())
    quote, signature = HOST.quote(b"nonce", selections)
    certify, _ = HOST.certify(b"nonce")
    scheme = tpm.Scheme(tpm.Algorithm.RSASSA, tpm.Algorithm.SHA256)
    rsa_key = rsa_public(rsa.generate_private_key(65537, 2048).public_key(), AK_ATTRIBUTES, scheme)
    rsa_signature = tpm.TpmtSignature(tpm.Algorithm.RSASSA, tpm.Algorithm.SHA256, (bytes(256),)).serialise()
    area = HOST.ak_public.serialise()
    return {
        "ak-p256": area,
        "ak-rsa": rsa_key.serialise(),
        "ek-p256": HOST.ek_public.serialise(),
        "ek-sized": len(area).to_bytes(2, "big") + area,
        "quote": quote,
        "certify": certify,
        "signature-ecdsa": signature,
        "signature-rsassa": rsa_signature,
        "selection": tpm.serialise_selections(selections),
    }


def hgsa_messages() -> Seeds:
    context = rtpm.RtpmContext(bytes(range(64)), ((rtpm.BlobType.NONCE, bytes(32)), (rtpm.BlobType.WBCL, b"log")))
    content = hgsa.AttestationProvidedContentType
    encryption = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
    numbers = hgsa.Form(bytes_as_numbers=True, guid_as_base64=True)
    request = hgsa.AttestationRequest(SESSION, (encryption,), ((content.RTPM_CONTEXT, context.serialise()),))
    reason = hgsa.EvaluationLog(False, SESSION)
    messages: dict[str, hgsa.Message] = {
        "v1-initial": hgsa.TpmRequestInitial(SESSION, (encryption,), b"key"),
        "v1-continue": hgsa.TpmRequestContinue(SESSION, (encryption,), b"key", b"context"),
        "ad-request": hgsa.ADRequest(SESSION, ((encryption, b"key"),)),
        "continue": hgsa.TpmReplyContinue(b"context"),
        "certificate": hgsa.HealthCertificateReply(((encryption, b"certificate"),)),
        "information": hgsa.ServiceInfoReply(2, hgsa.AttestationOperationMode.TPM, (1, 2)),
        "key": hgsa.EndorsementKey(b"key"),
        "policy-error": hgsa.PolicyEvaluationErrorReply(False, (reason,)),
        "mode-error": hgsa.OperationModeErrorReply(True, hgsa.AttestationOperationMode.HOST_KEY),
    }
    root = x509.load_der_x509_certificate(MAKER.root)
    return {
        **{name: hgsa.serialise(message) for name, message in messages.items()},
        "v2-request": hgsa.serialise(request),
        "v2-request-numbers": hgsa.serialise(request, numbers),
        "context": context.serialise(),
        "device": rtpm.DeviceInfo(2, 4, 0).serialise(),
        "bag": certbag.serialise_bag([root]),
    }


def ek_certificates() -> Seeds:
    header = bytes.fromhex("100100") + len(EK_CERTIFICATE).to_bytes(2, "big") + bytes.fromhex("1002")
    return {
        "ek": EK_CERTIFICATE,
        "root": MAKER.root,
        "nv-header": header + EK_CERTIFICATE,
        "padded": EK_CERTIFICATE + bytes(9),
        "pem": x509.load_der_x509_certificate(MAKER.root).public_bytes(Encoding.PEM),
    }


def platform_identifiers() -> Seeds:
    spki = tpm.spki_of(HOST.ek.public_key())
    return {
        "with-certificate": serialise_identifier(PlatformIdentifier("hv01", spki, EK_CERTIFICATE)),
        "bare": serialise_identifier(PlatformIdentifier("hv01.example", spki)),
    }


def ci_policies() -> Seeds:
    builder = PolicyBuilder()
    authority = PublisherRule(b"\x11" * 32, "Contoso", "Contoso CA")
    builder.allow_hash(b"\x0f" * 32, drivers=True, label="foo.sys")
    builder.allow_publisher(authority, drivers=False)
    builder.allow_file(authority, "bar.sys", (1, 2, 3, 4), drivers=True)
    options = PolicyOption.USER_MODE | PolicyOption.UNSIGNED_POLICY
    built = builder.build(options, (10, 0, 0, 1), name="Hosts", policy_id=SESSION)
    return {
        "rules": built.serialise(),
        "rules-xml": write_policy_xml(built),
        "minimal": build_ci_policy("Hosts", (10, 0, 0, 0)),
        "audit": build_ci_policy("Hosts", (10, 0, 1, 2), audit=True, policy_id="1"),
    }


def tcg_logs() -> Seeds:
    banks = EventLogBuilder((tpm.Algorithm.SHA1, tpm.Algorithm.SHA256), locality=3)
    banks.measure(0, 8, b"firmware")
    banks.separators()
    sha1 = EventLogBuilder((tpm.Algorithm.SHA1,))
    sha1.measure(0, EV_SEPARATOR, bytes(4))
    old = replace(sha1.build(), header=None)
    return {"two-banks": banks.build().serialise(), "old-format": old.serialise(), "windows": _windows_log()}


def sipa_records() -> Seeds:
    log = Boot(identity=HOST.identity.public_key()).log().build()
    return {f"record-{at:02}-pcr{event.pcr}": event.data for at, event in enumerate(log.events) if event.pcr >= 7}


def baselines() -> Seeds:
    log = _windows_log()
    checks = evaluate_policies(measured_boot(accept_reference_log(parse_log(log))), PolicySet())
    sub_statuses = (AttestationSubStatus.NO_INFORMATION,)
    verdict = Verdict(AttestationStatus.INSECURE_HOST_CONFIGURATION, sub_statuses, checks[:2], Failure.POLICY)
    return {
        "reference-log": log,
        "baseline": json.dumps(baseline_from_log(log).to_json()).encode(),
        "verdict": json.dumps(verdict.to_json()).encode(),
    }


def evidence_files() -> Seeds:
    HOST.boot(Boot().log())
    quote, signature = HOST.quote(b"nonce", (tpm.PcrSelection.of(tpm.Algorithm.SHA256, (0, 7)),))
    registers = {"sha256": {str(pcr): value.hex() for pcr, value in HOST.pcrs.items()}}
    pem = HOST.ak.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        **tcg_logs(),
        **ek_certificates(),
        "quote": quote,
        "signature": signature,
        "key": HOST.ak_public.serialise(),
        "key-pem": pem,
        "registers-json": json.dumps(registers).encode(),
        "registers-text": b"sha256:\n  0 : 0x" + bytes(32).hex().encode() + b"\n",
    }


def host_identities() -> Seeds:
    key = HOST.identity.public_key()
    return {
        "spki": tpm.spki_of(key),
        "pkcs1": key.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "cng": to_cng(key),
        "wbcl": identity_record(key)[8:],
        "certificate": MAKER.root,
        "elliptic": tpm.spki_of(HOST.ak.public_key()),
        "group": b"S-1-5-21-1-2-3-1104",
        "header": write_header(b"token").encode(),
        "account": account_data(),
    }


def log_checkpoints() -> Seeds:
    checkpoint = Checkpoint(ORIGIN, 42, bytes(range(32)))
    note = sign_checkpoint(checkpoint, KEY)
    cosignature = sign_note(checkpoint.text(), "witness.example/w1", signing_key(bytes(32))).split(b"\n\n")[1]
    return {
        "checkpoint": note,
        "cosigned": note + cosignature,
        "text": note.split(b"\n\n")[0] + b"\n",
        "empty-log": log_of(0).note(),
        "key": str(VKEY).encode(),
    }


def log_entries() -> Seeds:
    entries = log_of(3).entries
    return {
        "leaf": entries[0].leaf,
        "released": RELEASE.serialise(),
        "refused": REFUSAL.serialise(),
        "bundle": serialise_entries([entry.leaf for entry in entries[:2]]),
        "frontier": log_of(3).frontier(3).serialise(),
        "tile": b"tile/1/x001/x234/067.p/5",
        "entries": b"tile/entries/x001/000",
    }


def log_bundles() -> Seeds:
    whole, rest = LOG.bundle(), LOG.bundle(5)
    proof = prove_entry(io.BytesIO(rest), VKEY, 6).serialise()
    return {
        "whole": whole,
        "rest": rest,
        "whole-members": members(whole),
        "rest-members": members(rest),
        "proof": proof,
    }


def key_protectors() -> Seeds:
    protector, _ = new_protector(owner(), [lab().guardian], counted_random("seed"))
    verified = verify_protector(protector)
    document = serialise_protector(protector)
    return {
        "fresh": document,
        "prefixed": with_length_prefix(document),
        "granted": serialise_protector(grant(verified, owner(), branch().guardian)),
        "revoked": serialise_protector(revoke(verified, owner(), lab().guardian.fingerprint)),
        "rolled": serialise_protector(roll(verified, lab(), counted_random("roll"))[0]),
        "offline": serialise_protector(replace(protector, max_offline_unwraps=3)),
    }


def guardian_files() -> Seeds:
    locked = lock_owner_guardian(owner(), Secret(b"correct horse"), kdf_rounds=1000)
    others = replace(lab().guardian, other_signing_certificates=(branch().guardian.signing_certificate,))
    return {
        "metadata": serialise_metadata(lab().guardian, communications()),
        "metadata-others": serialise_metadata(others, communications()),
        "owner": serialise_owner_guardian(locked),
    }


def revocation_notices() -> Seeds:
    return {
        "one": write_notice(owner(), [bytes(32).hex()], NOW),
        "three": write_notice(stranger(), [bytes([number] * 32).hex() for number in range(3)], NOW),
    }


def kps_messages() -> Seeds:
    request = kps.RollTransportKeyRequest(b"protector", b"certificate", "urn:a", "urn:b", "urn:c")
    response = kps.RollTransportKeyResponse(b"protector", b"transfer", b"wrapping", b"keys")
    error = kps.KpsError("InvalidWrappingException", "Wrapping 1 & its <parent>.")
    return {
        "request": kps.serialise_request(request),
        "response": kps.serialise_response(response),
        "error": kps.serialise_error(error),
    }


def owner_proofs() -> Seeds:
    asked = Challenge("https://portal.example", "anna", owner().guardian.fingerprint, NOW, "Ab_-" * 16)
    challenge = write_challenge(asked)
    return {"challenge": challenge.encode(), "proof": prove(challenge, owner()).encode()}


def state_files() -> Seeds:
    begun = b"".join(whole().splitlines(keepends=True)[:3])
    return {"whole": whole(), "empty": whole(()), "without-log": whole((), replace(HEAD, log=LEFT_OUT)), "begun": begun}


def rollover_bundles() -> Seeds:
    wanted = WantedGuardian("ab" * 32, "cd" * 32)
    vm = BundleItem(ObjectKind.VM, str(SESSION), "web01", b"<Protector/>")
    data = BundleItem(ObjectKind.SHIELDING_DATA, str(SESSION), "Web servers (1)", b"<ShieldingData/>")
    result = replace(vm, replaces=vm.sha256)
    bundles = {
        "empty": Bundle(BundleKind.WORK, wanted, ()),
        "work": Bundle(BundleKind.WORK, wanted, (vm, data)),
        "result": Bundle(BundleKind.RESULT, wanted, (result,)),
    }
    return {name: _written(bundle) for name, bundle in bundles.items()}


def _written(bundle: Bundle) -> bytes:
    target = BytesIO()
    write_bundle(target, bundle)
    return target.getvalue()


def _windows_log() -> bytes:
    return Boot(identity=HOST.identity.public_key()).log().build().serialise()


def token_keys() -> Seeds:
    return {
        "uri": str(TokenUri(token="hgs", object="guardian 2026", id=b"\x01\xff")).encode(),
        "uri-serial": b"pkcs11:serial=0123456789abcdef;manufacturer=SoftHSM%20project;id=%01;type=private",
        "encoded": encode(0, LABEL, bytes(150) + b"\1" + bytes(40)),
        "encoded-wrong-label": encode(0, b"", bytes(150) + b"\1" + bytes(40)),
    }


SEEDS = (
    tpm_structures,
    hgsa_messages,
    ek_certificates,
    platform_identifiers,
    ci_policies,
    tcg_logs,
    sipa_records,
    baselines,
    evidence_files,
    host_identities,
    log_checkpoints,
    log_entries,
    log_bundles,
    key_protectors,
    guardian_files,
    revocation_notices,
    kps_messages,
    owner_proofs,
    state_files,
    token_keys,
    rollover_bundles,
    shielding_data,
    recovery_keys,
    answer_files,
)

if __name__ == "__main__":
    for write in SEEDS:
        folder = CORPUS / write.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in write().items():
            (folder / name).write_bytes(data)
