"""Active Directory mode with a real domain controller, real tickets and HGS over real HTTP."""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fabric.hyperv.errors import KerberosError
from fabric.hyperv.kerberos import ticket_source
from hgs import kerberos
from hgs.attestation.pac import read_pac
from hgs.client import AttestationClient, HgsRefused
from hgs.wire import hgsa
from hgs.wire.negotiate import write_header
from tests.hgs.domain.conftest import CLOCK_SKEW, DomainNode, Realm

pytestmark = pytest.mark.samba

ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
SIGNING = hgsa.AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE
INTERMEDIATE = hgsa.AttestationResultType.VSM_CA_INTERMEDIATE_CERTIFICATE
PATH = "/Attestation/v2.0/domainattest"


def spki(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def identity() -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65537, 2048).public_key()


@pytest.fixture
def request_for(identity: rsa.RSAPublicKey) -> hgsa.ADRequest:
    return hgsa.ADRequest(uuid4(), ((ENCRYPTION, spki(identity)),))


def post(node: DomainNode, body: bytes, token: bytes, path: str = PATH) -> httpx2.Response:
    headers = {"Content-Type": "application/json", "Authorization": write_header(token)}
    return httpx2.post(node.url + path, content=body, headers=headers, trust_env=False, timeout=30)


def ticket(realm: Realm, account: str, body: bytes, service: str = "HTTP/127.0.0.1") -> bytes:
    return realm.tickets(account, service)(body).token


def unbound(realm: Realm, account: str) -> bytes:
    """A ticket as clients of other makers send it: bound to nothing."""
    from gssapi import raw

    store = {b"client_keytab": str(realm.keytab(account)).encode(), b"ccache": f"MEMORY:{uuid4()}".encode()}
    credentials = raw.acquire_cred_from(store, usage="initiate").creds
    name = raw.import_name(b"HTTP@127.0.0.1", raw.NameType.hostbased_service)
    token = raw.init_sec_context(name, credentials, mech=raw.MechType.kerberos).token
    assert token is not None
    return bytes(token)


def test_host_in_the_group_gets_a_certificate_for_the_key_it_sent(
    realm: Realm, node: DomainNode, client: AttestationClient, identity: rsa.RSAPublicKey, request_for: hgsa.ADRequest
) -> None:
    answer = client.attest_domain(request_for, realm.tickets("hv01"))
    assert isinstance(answer.reply, hgsa.HealthCertificateReply)
    assert answer.status == "Passed"
    certificate = x509.load_der_x509_certificate(answer.reply.find(ENCRYPTION) or b"")
    assert certificate.public_key() == identity
    (signer,) = client.signing_certificates()
    certificate.verify_directly_issued_by(signer)
    stored = node.last_attestation()
    assert (stored["host"], stored["status"]) == ("hv01", "Passed")
    assert stored["verdict"]["warnings"] == []
    (host,) = [row for row in node.gf_json("host-group", "hosts") if row["name"] == "hv01"]
    assert host["group"] == "Guarded hosts"


def test_both_kinds_of_certificates_are_given_at_once(
    realm: Realm, client: AttestationClient, identity: rsa.RSAPublicKey
) -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    request = hgsa.ADRequest(uuid4(), ((ENCRYPTION, spki(identity)), (SIGNING, spki(other))))
    reply = client.attest_domain(request, realm.tickets("hv01")).reply
    assert isinstance(reply, hgsa.HealthCertificateReply)
    assert x509.load_der_x509_certificate(reply.find(SIGNING) or b"").public_key() == other


def test_host_outside_the_group_is_refused_with_the_groups_it_has(
    realm: Realm, node: DomainNode, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    answer = client.attest_domain(request_for, realm.tickets("hv03"))
    assert answer.reply == hgsa.UnauthorizedErrorReply(retryable=False)
    assert answer.status == "UnauthorizedHost"
    stored = node.last_attestation()
    (failed,) = [check for check in stored["verdict"]["checks"] if check["outcome"] == "failed"]
    assert failed["code"] == "HostGroup"
    assert failed["sentence"].startswith(
        "hv03$ is in no registered host group; its groups are Domain Computers (S-1-5-"
    )
    assert realm.groups["Unregistered"] in failed["sentence"]
    assert realm.groups["GuardedHosts"] not in failed["sentence"]


def test_person_counts_as_the_original_counts_them_by_the_group_alone(
    realm: Realm, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    assert client.attest_domain(request_for, realm.tickets("ann")).status == "UnauthorizedHost"
    assert client.attest_domain(request_for, realm.tickets("bob")).status == "Passed"


def test_request_without_a_ticket_is_asked_for_one(node: DomainNode, request_for: hgsa.ADRequest) -> None:
    body = hgsa.serialise(request_for)
    for headers in ({}, {"Authorization": "Basic aHYwMTpwYXNz"}, {"Authorization": "Negotiate"}):
        answer = httpx2.post(
            node.url + PATH, content=body, headers={"Content-Type": "application/json", **headers}, trust_env=False
        )
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Negotiate")
        assert isinstance(hgsa.parse_message(answer.content), hgsa.UnauthorizedErrorReply)


@pytest.mark.parametrize(
    "token",
    [b"\x00", b"no ticket at all", b"NTLMSSP\x00\x01\x00\x00\x00" + bytes(32), b"\x60\x82" + bytes(40_000)],
    ids=["byte", "text", "ntlm", "long"],
)
def test_what_is_no_ticket_is_refused(node: DomainNode, request_for: hgsa.ADRequest, token: bytes) -> None:
    assert post(node, hgsa.serialise(request_for), token).status_code == 401


def test_ticket_for_another_service_is_refused(
    realm: Realm, node: DomainNode, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    body = hgsa.serialise(request_for)
    assert post(node, body, ticket(realm, "hv01", body, "HTTP/other.guarded.test")).status_code == 401
    with pytest.raises(HgsRefused, match="did not accept the Kerberos ticket"):
        client.attest_domain(request_for, realm.tickets("hv01", "HTTP/other.guarded.test"))


def test_host_learns_why_it_gets_no_ticket(
    realm: Realm, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    with pytest.raises(KerberosError, match=r"HTTP/nobody\.guarded\.test"):
        client.attest_domain(request_for, realm.tickets("hv01", "HTTP/nobody.guarded.test"))
    with pytest.raises(KerberosError, match="is no file"):
        client.attest_domain(request_for, ticket_source("HTTP/127.0.0.1", realm.keytab("nobody")))


def test_ticket_counts_once(realm: Realm, node: DomainNode, request_for: hgsa.ADRequest) -> None:
    body = hgsa.serialise(request_for)
    token = ticket(realm, "hv01", body)
    assert post(node, body, token).status_code == 200
    assert post(node, body, token).status_code == 401
    assert "replay" in node.log


def test_ticket_is_good_for_the_request_it_was_made_for_and_no_other(
    realm: Realm, node: DomainNode, request_for: hgsa.ADRequest
) -> None:
    thief = hgsa.ADRequest(uuid4(), ((ENCRYPTION, spki(rsa.generate_private_key(65537, 2048).public_key())),))
    token = ticket(realm, "hv01", hgsa.serialise(request_for))
    assert post(node, hgsa.serialise(thief), token).status_code == 401


def test_ticket_that_is_bound_to_nothing_is_refused(
    realm: Realm, node: DomainNode, request_for: hgsa.ADRequest
) -> None:
    """Anybody to whom a host shows such a ticket could hand it on, with a key of their own."""
    assert post(node, hgsa.serialise(request_for), unbound(realm, "hv01")).status_code == 401
    assert "is bound to no request" in node.log


@pytest.mark.parametrize("binding", ["require", "check", "ignore"])
def test_what_tickets_must_be_bound_to_is_set(
    realm: Realm, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binding: str
) -> None:
    monkeypatch.setenv("KRB5RCACHENAME", f"file2:{tmp_path / 'replays'}")
    settings.HGS_KEYTAB, settings.HGS_TICKET_BINDING = str(realm.keytab("hgs")), binding
    bodies = {"bound": b"body", "to another": b"other"}
    tokens = {name: ticket(realm, "hv01", body) for name, body in bodies.items()} | {"unbound": unbound(realm, "hv01")}
    found: dict[str, bool | None] = {}
    for name, token in tokens.items():
        try:
            found[name] = kerberos.accept(token, b"body").is_bound
        except kerberos.TicketRefused:
            found[name] = None
    expected: dict[str, dict[str, bool | None]] = {
        "require": {"bound": True, "to another": None, "unbound": None},
        "check": {"bound": True, "to another": None, "unbound": False},
        "ignore": {"bound": False, "to another": False, "unbound": False},
    }
    assert found == expected[binding]


def test_ticket_that_was_changed_on_its_way_is_refused(
    realm: Realm, node: DomainNode, request_for: hgsa.ADRequest
) -> None:
    body = hgsa.serialise(request_for)
    token = ticket(realm, "hv01", body)
    for position in range(240, len(token), 97):  # behind the names, all is under the ticket's or the session's key
        changed = bytearray(token)
        changed[position] ^= 0x10
        assert post(node, body, bytes(changed)).status_code == 401, position
    # A new one: what was changed may have been recorded as the one that it was made from, which then is a replay.
    assert post(node, body, ticket(realm, "hv01", body)).status_code == 200


def test_ticket_that_comes_too_late_is_refused(realm: Realm, node: DomainNode, request_for: hgsa.ADRequest) -> None:
    body = hgsa.serialise(request_for)
    token, made = ticket(realm, "hv01", body), time.time()
    while time.time() <= made + CLOCK_SKEW + 1:
        assert node.status("/livez") == 200
    assert post(node, body, token).status_code == 401


def test_version_1_and_any_spelling_of_the_path_are_served(
    realm: Realm, node: DomainNode, request_for: hgsa.ADRequest
) -> None:
    body = hgsa.serialise(request_for)
    for path in ("/Attestation/v1.0/domainattest", "/attestation/AttestationService.svc/V2.0/DomainAttest/"):
        assert post(node, body, ticket(realm, "hv01", body), path).status_code == 200


def test_what_cannot_be_certified_is_refused_by_its_kind(
    realm: Realm, node: DomainNode, identity: rsa.RSAPublicKey
) -> None:
    def ask(*requested: tuple[hgsa.AttestationResultType, bytes]) -> hgsa.Message:
        body = hgsa.serialise(hgsa.ADRequest(uuid4(), requested))
        return hgsa.parse_message(post(node, body, ticket(realm, "hv01", body)).content)

    assert ask() == hgsa.PayloadErrorReply(retryable=False)
    assert ask((INTERMEDIATE, spki(identity))) == hgsa.PayloadErrorReply(retryable=False)
    assert ask((ENCRYPTION, b"no key")) == hgsa.VirtualSecureModeErrorReply(retryable=False)
    weak = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - the point of it
    assert ask((ENCRYPTION, spki(weak))) == hgsa.VirtualSecureModeErrorReply(retryable=False)
    body = b'{"SessionId":"x"}'
    answer = post(node, body, ticket(realm, "hv01", body))
    assert hgsa.parse_message(answer.content) == hgsa.PayloadErrorReply(retryable=False)


def test_removed_group_ends_what_its_members_had(
    realm: Realm, node: DomainNode, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    assert client.attest_domain(request_for, realm.tickets("hv01")).status == "Passed"
    node.gf("host-group", "remove", "guarded hosts")
    try:
        assert node.gf_json("host-group", "hosts") == []
        assert client.attest_domain(request_for, realm.tickets("hv01")).status == "UnauthorizedHost"
        (failed,) = [check for check in node.last_attestation()["verdict"]["checks"] if check["outcome"] == "failed"]
        assert failed["sentence"] == "hv01$ is in no registered host group: HGS knows none."
    finally:
        node.gf("host-group", "add", "Guarded hosts", realm.groups["GuardedHosts"])


def test_rehearsal_judges_in_any_mode_and_certifies_nothing(
    realm: Realm, node: DomainNode, client: AttestationClient, request_for: hgsa.ADRequest
) -> None:
    node.gf("set", "--trust-host-key")
    try:
        wrong = client.attest_domain(request_for, realm.tickets("hv01")).reply
        assert wrong == hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.HOST_KEY)
        passed = client.attest_domain(request_for, realm.tickets("hv01"), rehearsal=True)
        assert (passed.reply, passed.status) == (hgsa.HealthCertificateReply(()), "Passed")
        assert client.attest_domain(request_for, realm.tickets("hv03"), rehearsal=True).status == "UnauthorizedHost"
    finally:
        node.gf("set", "--trust-ad")


def test_pac_of_a_real_domain_is_read_whole(realm: Realm) -> None:
    from gssapi import raw

    credentials = raw.acquire_cred_from({b"keytab": str(realm.keytab("hgs")).encode()}, usage="accept").creds
    accepted = raw.accept_sec_context(unbound(realm, "hv01"), credentials)
    attribute = raw.get_name_attribute(accepted.initiator_name, b"urn:mspac:")
    assert attribute.authenticated
    account = read_pac(bytes(attribute.values[0]))
    assert (account.name, account.domain, account.is_computer) == ("hv01$", "GUARDED", True)
    assert account.primary_group.subauthorities[-1] == 515
    assert realm.groups["GuardedHosts"] in [str(sid) for sid in account.groups]
