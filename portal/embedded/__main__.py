"""`python -m portal.embedded up | down | status`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from portal.embedded import credentials, layout, plan, processes
from portal.embedded.domain import DomainTrouble


def migrate(role: str) -> None:
    """Brings one role's database to the newest schema; prints only what went wrong."""
    done = subprocess.run(
        [*plan.MANAGE, "migrate", "--no-input", "-v", "0"],
        env=plan.environment(role),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise processes.ProcessTrouble(f"The {role} database could not be migrated:\n{done.stderr[-3000:]}")


def make_domain() -> None:
    """The domain of MODE=ad: made once, and its accounts looked after at each start."""
    if layout.MODE != "ad" or processes.running_pid(plan.domain_controller()) is not None:
        return
    for name in layout.HOSTS:
        layout.host_dir(name).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        groups = plan.domain().make(plan.domain_accounts())
    except DomainTrouble as trouble:
        raise processes.ProcessTrouble(str(trouble)) from trouble
    (layout.DOMAIN / "groups.json").write_text(json.dumps(groups), encoding="ascii")


def up() -> None:
    started = time.monotonic()
    layout.keep_mode()
    credentials.prepare()
    for folder in ("portal", "hgs", "hosts", "library"):
        (layout.VAR / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    make_domain()
    for role in ("portal", "hgs"):
        migrate(role)
    fresh = [*processes.start(*plan.brokers(), *plan.domains()), *processes.start(*plan.services())]
    if fresh:
        names = ", ".join(process.name for process in fresh)
        print(f"Started {names} ({time.monotonic() - started:.0f} s).", flush=True)


def down() -> None:
    stopped = [process.name for process in reversed(plan.everything()) if processes.stop(process)]
    print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.", flush=True)


def status() -> None:
    for process in plan.everything():
        pid = processes.running_pid(process)
        print(f"  {process.name:<12} {'running, process ' + str(pid) if pid else 'stopped'}")
    print(f"\n  portal {layout.PORTAL_URL}\n  HGS    {layout.HGS_URL} (MODE={layout.MODE})\n  logs   {layout.LOGS}")


def main() -> int:
    commands = {"up": up, "down": down, "status": status}
    parser = argparse.ArgumentParser(prog="python -m portal.embedded", description=__doc__)
    parser.add_argument("command", choices=commands)
    try:
        commands[parser.parse_args().command]()
    except processes.ProcessTrouble as trouble:
        print(f"\n{trouble}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
