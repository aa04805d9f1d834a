"""A shielded VM from the Debian template: it specialises itself, answers with the owner's host key, and takes nothing else
from its host."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from fabric.publishing import signing
from tests.fabric.hyperv.secure_worker.conftest import Template, new_spec, open_ssh, public_line, quiet, sign
from tests.fabric.hyperv.secure_worker.test_boot import free_port, ssh

pytestmark = pytest.mark.vm


def test_try(host: Any, tenant: Any, tmp_path: Path) -> None:
    t = time.time()
    made = sign(tmp_path, Path("/tmp/gfl/out/template.raw"), Path("/tmp/gfl/out/boot-certificate.pem"))
    print("sign", time.time() - t, made.vhdx.stat().st_size)
    machines = host.machines(tmp_path / "vms", "qemu")
    spec = new_spec(free_port())
    pdk = tenant.pdk(tmp_path / "web.pdk", made.signed)
    t = time.time()
    machines.provision(spec, host.certificate, made.vhdx, made.catalog, pdk, quiet)
    print("provision", time.time() - t)
    t = time.time()
    try:
        beat = machines.start(spec.id, host.certificate, lambda *a: print(round(time.time() - t, 1), *a))
        print("start", time.time() - t, beat)
        host_key = public_line(tenant.host_key).decode()
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{spec.access_port} {host_key}\n")
        (tmp_path / "id").touch(mode=0o600)
        (tmp_path / "id").write_bytes(open_ssh(tenant.user_key))
        for command in Path("/tmp/gfl/commands").read_text().splitlines():
            t2 = time.time()
            seen = ssh(spec, tmp_path, "-i", str(tmp_path / "id"), command=command)
            print("$", command, round(time.time() - t2, 1)); print(seen.stdout); print(seen.stderr)
        t = time.time()
        machines.stop(spec.id)
        print("stop", time.time() - t)
    finally:
        machines.remove(spec.id)
