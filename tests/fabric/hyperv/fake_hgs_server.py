"""`FakeHgs` with key protection, over real HTTP on a port of its own."""

import datetime as dt
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from cryptography import x509

from hgs.attestation.errors import CertificateInvalid
from hgs.attestation.healthcert import TrustedSigner, verify_health_certificate
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import GuardianKeys, create_guardian_keys
from hgs.keyprotection.metadata import create_communications_key, serialise_metadata
from hgs.keyprotection.release import release_keys
from hgs.wire import hgsa, kps
from tests.fabric.hyperv.fake_hgs import FakeHgs


@lru_cache(maxsize=1)
def guardian() -> tuple[GuardianKeys, bytes]:
    """The service's guardian and its metadata document, made once."""
    now = dt.datetime.now(dt.UTC)
    keys = create_guardian_keys("hgs", now, key_size=2048)
    return keys, serialise_metadata(keys.guardian, create_communications_key("hgs", now, key_size=2048))


@contextmanager
def served(hgs: FakeHgs) -> Iterator[str]:
    """The address of `hgs` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not hgs.reachable:
                return
            if self.path.lower().endswith("/getinfo"):
                info = hgsa.ServiceInfoReply(2, hgsa.AttestationOperationMode.TPM, (1, 2))
                self._give(200, "application/json", hgsa.serialise(info))
            else:
                self._give(200, "application/xml", guardian()[1])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not hgs.reachable:
                return
            if "rolltransportkey" in self.path:
                hgs.asked_for_keys.append(self.headers.get("virtual-machine", ""))
                self._give(*_release(hgs, body))
                return
            answer = hgs.answer(httpx2.Request("POST", "http://hgs.test" + self.path, content=body))
            more = {name: value for name, value in answer.headers.items() if name.startswith("attestation")}
            self._give(answer.status_code, "application/json", answer.content, more)

        def _give(self, status: int, kind: str, content: bytes, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(content)), **(more or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            """Tests need no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _release(hgs: FakeHgs, body: bytes) -> tuple[int, str, bytes]:
    if hgs.key_fault:
        status, code = hgs.key_fault
        return status, "application/xml", kps.serialise_error(kps.KpsError(code, "Not now, not ever."))
    request = kps.parse_request(body)
    certificate: x509.Certificate = hgs.signer[0]
    now = dt.datetime.now(dt.UTC)
    try:
        health = verify_health_certificate(request.health_certificate, [TrustedSigner(certificate)], now)
    except CertificateInvalid as error:
        return 403, "application/xml", kps.serialise_error(kps.KpsError("HealthCertificateException", error.message))
    unwraps = hgs.offline_unwraps
    try:
        answer = release_keys(request, health.public_key, [guardian()[0]], secrets.token_bytes, 2, unwraps)
    except KeyProtectionError as error:
        return 400, "application/xml", kps.serialise_error(kps.KpsError(error.fault, error.message))
    return 200, "application/xml", kps.serialise_response(answer)
