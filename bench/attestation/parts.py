"""What the parts of an attestation cost in process, each beside the raw cost of its cryptography."""

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from bench.attestation.boot_logs import SAMPLE_LOG
from bench.attestation.hosts import CI_POLICY, ENCRYPTION, Host, QuoteEvidence, TpmMaker
from bench.attestation.timing import microseconds
from hgs.attestation import evidence, exchange, tpm
from hgs.attestation.baseline import baseline_from_log
from hgs.attestation.ci_policy import parse_ci_policy
from hgs.attestation.ekcert import parse_ek_certificate
from hgs.attestation.endorsement import EndorsementTrust, KnownHost, endorsement_from_certificate
from hgs.attestation.healthcert import CertificateKind, issue_health_certificate, make_signer
from hgs.attestation.judgement import Judgement
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet
from hgs.attestation.sealed_state import ExchangeState
from hgs.attestation.tcglog import (
    EV_NO_ACTION,
    EV_POST_CODE,
    MAX_EVENTS,
    EventLogBuilder,
    parse_log,
    replay,
    verify_log_by_quote,
)
from hgs.wire import hgsa
from hgs.wire.rtpm import MAX_LOG, RtpmContext, parse_context

CONTEXT: Final = hgsa.AttestationProvidedContentType.RTPM_CONTEXT
_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_OAEP = padding.OAEP(padding.MGF1(_SHA256), _SHA256, b"IDENTITY\x00")


@dataclass(frozen=True)
class Part:
    """Processor microseconds of one of something, and of its cryptography alone."""

    microseconds: float
    cryptography: float

    @property
    def per_second(self) -> float:
        """How many one core does."""
        return 1e6 / self.microseconds


@dataclass(frozen=True)
class Parts:
    """``attestation`` is the examination of both rounds without HTTP, database and certificate."""

    quote: Part
    replay: Part
    replay_log: str
    largest_log: Part
    attestation: Part
    certificate: Part
    messages: Part
    host: Part


def measure(hosts: Sequence[Host], maker: TpmMaker, seconds: float) -> Parts:
    """Measure each part for about ``seconds`` a round."""
    host = hosts[0]
    sample = SAMPLE_LOG.read_bytes() if SAMPLE_LOG.exists() else host.log
    signer_certificate, signer = make_signer(datetime.now(UTC), timedelta(days=1), os.urandom)
    rounds = _Rounds(host, maker)

    def certify() -> bytes:
        now = datetime.now(UTC)
        return issue_health_certificate(
            signer_certificate,
            signer,
            rounds.ek_hash,
            host.identity,
            CertificateKind.ENCRYPTION,
            now=now,
            random_bytes=os.urandom,
        )

    sign = microseconds(lambda: signer.sign(b"x" * 500, padding.PKCS1v15(), _SHA256), seconds)
    return Parts(
        quote=_quotes(hosts, seconds),
        replay=_replay(sample, seconds),
        replay_log=SAMPLE_LOG.name if SAMPLE_LOG.exists() else "own log",
        largest_log=_replay(_largest_log(), seconds),
        attestation=Part(microseconds(rounds.examine, seconds), _server_cryptography(host, seconds)),
        certificate=Part(microseconds(certify, seconds), sign),
        messages=Part(microseconds(rounds.read_and_write, seconds), 0.0),
        host=Part(microseconds(rounds.answer, seconds), _host_cryptography(seconds)),
    )


def _quotes(hosts: Sequence[Host], seconds: float) -> Part:
    """A quote of a host whose attestation key is known: signature, freshness, selection."""
    quotes = itertools.cycle([_with_state(host.quote(os.urandom(32))) for host in hosts])

    def verify() -> None:
        shown, state = next(quotes)
        evidence.check_quote(Judgement(state.ek_hash), state, shown.ak_public, shown.quote, shown.signature)

    shown, _ = next(quotes)
    key = tpm.to_cryptography_key(shown.ak_public)
    values = tpm.TpmtSignature.parse(shown.signature).values
    signature = utils.encode_dss_signature(*(int.from_bytes(value, "big") for value in values))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the hosts of this benchmark have attestation keys on P-256")
    return Part(
        microseconds(verify, seconds), microseconds(lambda: key.verify(signature, shown.quote, _ECDSA), seconds)
    )


def _with_state(shown: QuoteEvidence) -> tuple[QuoteEvidence, ExchangeState]:
    later = datetime.now(UTC) + timedelta(hours=1)
    state = ExchangeState(uuid4(), later, "0" * 64, shown.nonce, bytes(32), shown.ak_public.serialise())
    return shown, state


def _replay(log: bytes, seconds: float) -> Part:
    """From bytes to the registers that a quote confirms. Its cryptography: each extension, and each record's digest."""
    measured = replay(parse_log(log), tpm.Algorithm.SHA256)
    quoted = {pcr: measured.get(pcr, bytes(32)) for pcr in evidence.QUOTED_PCRS}
    digest = tpm.composite_digest((evidence.QUOTED_SELECTION,), {tpm.Algorithm.SHA256: quoted}, "sha256")
    events = [event.data for event in parse_log(log).events if event.type != EV_NO_ACTION]

    def check() -> None:
        verify_log_by_quote(parse_log(log), evidence.QUOTED_SELECTION, digest, tpm.Algorithm.SHA256, None)

    def hash_alone() -> None:
        for data in events:
            hashlib.sha256(b"x" * 64).digest()
            hashlib.sha256(data).digest()

    return Part(microseconds(check, seconds), microseconds(hash_alone, seconds))


def _largest_log() -> bytes:
    """As many records, and as many bytes, as are taken at all: the dearest log that a host can send."""
    builder = EventLogBuilder()
    each = MAX_LOG // MAX_EVENTS - 64
    for number in range(MAX_EVENTS - 1):
        builder.measure(number % 7, EV_POST_CODE, number.to_bytes(4, "big") + bytes(max(each, 0)))
    return builder.build().serialise()


class _Rounds:
    """Both rounds of one host's attestation, as the server and as the host see them."""

    def __init__(self, host: Host, maker: TpmMaker) -> None:
        self._host = host
        self._endorsement = endorsement_from_certificate(host.ek_certificate)
        self.ek_hash = self._endorsement.ek_hash
        known = {self.ek_hash: KnownHost(host.name)}
        self._trust = EndorsementTrust(known.get, (parse_ek_certificate(maker.root),))
        baseline = NamedBaseline("benchmark", baseline_from_log(host.reference_log))
        policy = NamedDigest("benchmark", parse_ci_policy(CI_POLICY).digest)
        self._policies = PolicySet(baselines=(baseline,), ci_policies=(policy,))
        self._seal_keys = (bytes(32),)
        self._session = uuid4()
        self._first = _context_in(host.first_request(self._session))
        challenge = self._begin()
        self._answer = host.second_request(self._session, challenge.serialise())
        self._challenge = challenge.serialise()
        self._second = _context_in(self._answer)

    def examine(self) -> None:
        """What the server decides in both rounds."""
        self._begin()
        outcome = exchange.finish(
            self._session,
            self._endorsement,
            self._second,
            requested=(ENCRYPTION,),
            trust=self._trust,
            policies=self._policies,
            seal_keys=self._seal_keys,
            now=datetime.now(UTC),
        )
        if not outcome.verdict.passed:
            raise ValueError(outcome.verdict.summary)

    def read_and_write(self) -> None:
        """The messages of the second round: JSON in, JSON out."""
        hgsa.parse_message(self._answer)
        hgsa.serialise(hgsa.HealthCertificateReply(((ENCRYPTION, bytes(900)),)))

    def answer(self) -> None:
        """What the host does."""
        self._host.first_request(self._session)
        self._host.second_request(self._session, self._challenge)

    def _begin(self) -> RtpmContext:
        now = datetime.now(UTC)
        begun = exchange.begin(
            self._session,
            self._endorsement,
            self._first,
            trust=self._trust,
            seal_keys=self._seal_keys,
            now=now,
            random_bytes=os.urandom,
        )
        if not isinstance(begun, exchange.Challenge):
            raise TypeError(begun.verdict.summary)
        return begun.context


def _context_in(request: bytes) -> RtpmContext:
    message = hgsa.parse_message(request)
    found = message.find(CONTEXT) if isinstance(message, hgsa.AttestationRequest) else None
    return parse_context(found or b"")


def _server_cryptography(host: Host, seconds: float) -> float:
    """One RSA encryption, two signatures to verify, and SHA-256 over the log and its extensions."""
    ek, ak = rsa.generate_private_key(65537, 2048).public_key(), ec.generate_private_key(ec.SECP256R1())
    signature, ak_public = ak.sign(b"x" * 150, _ECDSA), ak.public_key()
    return (
        microseconds(lambda: ek.encrypt(bytes(32), _OAEP), seconds)
        + 2 * microseconds(lambda: ak_public.verify(signature, b"x" * 150, _ECDSA), seconds)
        + _replay(host.log, seconds).cryptography
    )


def _host_cryptography(seconds: float) -> float:
    """One RSA decryption and two signatures; a real host's TPM does these."""
    ek, ak = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    secret = ek.public_key().encrypt(bytes(32), _OAEP)
    return microseconds(lambda: ek.decrypt(secret, _OAEP), seconds) + 2 * microseconds(
        lambda: ak.sign(b"x" * 150, _ECDSA), seconds
    )
