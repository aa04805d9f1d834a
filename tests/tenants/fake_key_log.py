"""HGS's account of keys, as far as the portal reads it: answers HTTP requests from a list of entries."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import httpx2

from hgs.client import FabricClient
from hgs.keyprotection.revocation import parse_notice
from hgs.transparency.checkpoint import signing_key
from hgs.transparency.note import VerifierKey

VKEY = str(VerifierKey.of("hgs.example/key-log", signing_key(bytes(range(32)))))
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
VERDICT = UUID("8b8f2a52-66c1-4b5c-9b5a-0d8d0a0f1c11")


@dataclass
class FakeKeyLog:
    """`away`: HGS does not answer. `requests`: what it was asked. `notices`: what it was given."""

    events: list[dict[str, Any]] = field(default_factory=list)
    bundle: bytes = b"PK\x03\x04 a bundle"
    vkey: str = VKEY
    away: bool = False
    requests: list[httpx2.Request] = field(default_factory=list)
    notices: list[bytes] = field(default_factory=list)
    refusal: str = ""  # what it says against a notice

    def add(self, owner: str, vm: UUID | None = None, **more: Any) -> dict[str, Any]:
        index = len(self.events)
        event = {
            "index": index, "at": (NOON + timedelta(minutes=index)).isoformat(), "result": "released", "reason": "",
            "message": "", "protector": f"{index:064x}", "egress": "e" * 64, "vm": str(vm) if vm else "",
            "owner": owner, "guardian": "9" * 64, "host": "7" * 64, "host_name": "hv01", "certificate": "1f",
            "verdict": str(VERDICT), "offline": 0,
        }  # fmt: skip
        event |= more
        self.events.append(event)
        return event

    def refuse(self, owner: str, vm: UUID | None = None, **more: Any) -> dict[str, Any]:
        said = {"reason": "certificate-expired", "message": "The health certificate is over.", "egress": ""}
        return self.add(owner, vm, result="refused", verdict="", **(said | more))

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.away:
            raise httpx2.ConnectError("refused")
        if request.url.path == "/KeyLog/key":
            return httpx2.Response(200, text=f"{self.vkey}\n")
        if request.headers["authorization"] != "Bearer fabric-token-for-tests-only":
            return httpx2.Response(401)
        if request.url.path == "/fabric/v1/key-log/bundle":
            return httpx2.Response(200, content=self.bundle, headers={"Content-Type": "application/zip"})
        if request.url.path == "/fabric/v1/revocations":
            return self._revoke(json.loads(request.content))
        assert request.url.path == "/fabric/v1/key-events"
        return httpx2.Response(200, text=json.dumps({"events": self._chosen(dict(request.url.params))}))

    def _revoke(self, body: dict[str, str]) -> httpx2.Response:
        if self.refusal:
            return httpx2.Response(409, json={"code": "chain-too-long", "detail": self.refusal})
        notice = base64.b64decode(body["notice"])
        new = 0 if notice in self.notices else len(parse_notice(notice).protector_ids)
        self.notices.append(notice)
        return httpx2.Response(200, json={"revoked": new})

    def _chosen(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        found = [event for event in reversed(self.events) if event["owner"] == asked["owner"]]
        if "vm" in asked:
            found = [event for event in found if event["vm"] == asked["vm"]]
        if "before" in asked:
            found = [event for event in found if event["index"] < int(asked["before"])]
        return found[: int(asked["limit"])]


@contextmanager
def serving(log: FakeKeyLog) -> Iterator[FakeKeyLog]:
    """The portal's client of HGS, with this log instead of the network."""

    def client(url: str, token: str, timeout: float) -> FabricClient:
        return FabricClient(url, token, timeout, transport=httpx2.MockTransport(log))

    with patch("fabric.guardian_service.FabricClient", client):
        yield log
