"""A tenant makes an owner guardian and shielding data with a saved copy of the page, without a network.

With `GF_SCREENSHOTS=<folder>` every state looked at is also kept as a picture.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from playwright.sync_api import Request, expect

from fabric.shielding.answerfile import parse_linux_answer_file
from fabric.shielding.pdk import Policy, ShieldingSecrets, open_pdk, parse_pdk
from fabric.shielding.sha512_crypt import sha512_crypt
from fabric.shielding.ssh import host_key_line
from fabric.shielding.viq import VersionRule
from hgs.keyprotection.certificates import fingerprint, grouped
from hgs.keyprotection.owner_guardian import parse_owner_guardian
from hgs.keyprotection.protector import check_transport_key, unwrap
from hgs.keyprotection.secret import Secret
from tenants.offline_page.build import FILE_NAME
from tests.browsing import LOOKS, look
from tests.hgs.keyprotection.guardians import keys_of, lab, owner
from tests.tenants.cli.conftest import Desk, catalog
from tests.tenants.offline_page.walking import (
    CATALOG,
    METADATA,
    OWNER,
    PASSPHRASE,
    PASSWORD,
    Walk,
    prepared,
    with_owner,
)

pytestmark = pytest.mark.browser


def opened_by_guardian(path: Path) -> ShieldingSecrets:
    """What HGS's guardian finds in a file, every signature checked."""
    pdk = parse_pdk(path.read_bytes())
    return open_pdk(pdk, unwrap(pdk.protector, lab()))


def test_a_new_owner_and_its_file_are_those_of_the_command_line(walk: Walk, requests: list[Request]) -> None:
    owner_path = walk.make_owner("Contoso")
    prepared(walk, PASSWORD)
    path = walk.make("web.pdk")
    keys = parse_owner_guardian(owner_path.read_bytes()).unlock(Secret(PASSPHRASE.encode()))
    pdk = parse_pdk(path.read_bytes())
    assert pdk.serialise() == path.read_bytes()
    assert pdk.owner_fingerprint == keys.guardian.fingerprint
    assert pdk.guardian_fingerprints == (lab().guardian.fingerprint,)
    assert pdk.policy is Policy.SHIELDED
    (qualifier,) = pdk.qualifiers
    signer = fingerprint(keys_of("publisher").guardian.signing_certificate)
    assert (qualifier.disk_name, qualifier.version, qualifier.rule) == ("Debian 12", "1.0.0.0", VersionRule.EQUALS)
    assert qualifier.signer_fingerprint.hex() == signer
    assert unwrap(pdk.protector, keys).value == unwrap(pdk.protector, lab()).value
    check_transport_key(pdk.protector, unwrap(pdk.protector, keys))
    answers = parse_linux_answer_file(opened_by_guardian(path).answer_file.reveal().decode())
    _, _, rounds, salt, _ = answers["GF_ROOT_PASSWORD_HASH"].split("$")
    hashed = sha512_crypt(Secret(PASSWORD.encode()), salt, int(rounds.removeprefix("rounds=")))
    assert answers == {
        "GF_COMPUTER_NAME": "@ComputerName@",
        "GF_TIME_ZONE": "@TimeZone@",
        "GF_ROOT_PASSWORD_HASH": hashed,
        "GF_IP4_ADDRESS": "@IP4Addr-1@",
        "GF_IP4_GATEWAY": "@NextHop-1-1@",
        "GF_DNS": "@DnsAddr-1-1@",
    }
    assert rounds == "rounds=100000"
    assert [request.url for request in requests] == [(walk.folder / FILE_NAME).as_uri()]


def test_the_command_line_inspects_what_the_page_made(walk: Walk) -> None:
    desk = Desk(walk.folder)
    owner_path = walk.make_owner()
    prepared(walk)
    path = walk.make("web.pdk")
    line = walk.save("Save the known_hosts line").read_text()
    (walk.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    shown = json.loads(
        desk.done(
            *("pdk", "inspect", str(path), "--owner", str(owner_path), "--output", "json"),
            *("--passphrase-file", desk.path("passphrase"), "--store", desk.path("store")),
        )
    )
    assert shown["known_hosts"] == line.removesuffix("\n")
    assert line.startswith("web ssh-ed25519 ")
    assert "Accepted" in desk.done("pdk", "test", str(path), "--catalog", desk.path(CATALOG))
    expect(walk.page.get_by_text(grouped(shown["sha256"]))).to_be_visible()


def test_an_owner_of_the_command_line_gives_everything_there_is(walk: Walk) -> None:
    walk.open_owner(walk.folder / OWNER)
    page = walk.page
    walk.add_guardian(walk.folder / METADATA)
    walk.add_catalog(walk.folder / CATALOG, "GreaterThanOrEquals")
    page.get_by_text("Name a disk by hand").click()
    page.get_by_label("Accept which versions").select_option("GreaterThan")
    page.get_by_label("Disk name").fill("Größe (3)")
    page.get_by_label("Fingerprint of its signer").fill(grouped("ab" * 32))
    page.get_by_label("Version", exact=True).fill("1.2.3.4")
    page.get_by_role("button", name="Add the disk").click()
    page.get_by_label("Encryption supported").check()
    answer = b'<?xml version="1.0"?>\n<unattend><name>@ComputerName@</name></unattend>\n'
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (walk.folder / "unattend.xml").write_bytes(answer)
    (walk.folder / "own_key").write_bytes(key)
    (walk.folder / "app.conf").write_bytes(b"\0\xff" * 1000)
    page.get_by_label("Use my own").first.check()
    page.get_by_label("Answer file", exact=True).set_input_files(walk.folder / "unattend.xml")
    page.get_by_label("Use my own").last.check()
    page.get_by_label("Private key, Ed25519").set_input_files(walk.folder / "own_key")
    line = host_key_line(Secret(key))
    page.get_by_label("SSH keys that may sign in").fill(f"# mine\n{line} me@home\n")
    page.get_by_label("Other files").set_input_files(walk.folder / "app.conf")
    page.get_by_label("Name of app.conf").fill("other.conf")
    path = walk.make("all.pdk")
    pdk = parse_pdk(path.read_bytes())
    assert pdk.owner_fingerprint == owner().guardian.fingerprint
    assert pdk.policy is Policy.ENCRYPTION_SUPPORTED
    assert [(one.disk_name, one.version, one.rule) for one in pdk.qualifiers] == [
        ("Debian 12", "1.0.0.0", VersionRule.GREATER_THAN_OR_EQUALS),
        ("Größe (3)", "1.2.3.4", VersionRule.GREATER_THAN),
    ]
    secrets = opened_by_guardian(path)
    assert secrets.answer_file.reveal() == answer
    assert {name: value.reveal() for name, value in secrets.other_files.items()} == {
        "authorized_keys": f"{line} me@home\n".encode(),
        "other.conf": b"\0\xff" * 1000,
        "ssh_host_ed25519_key": key,
    }


def test_no_secret_stays_in_the_page_or_reaches_the_files_in_the_clear(walk: Walk) -> None:
    owner_path = walk.make_owner()
    prepared(walk, PASSWORD)
    path = walk.make()
    fields = "[...document.querySelectorAll('input[type=password]')].map((field) => field.value)"
    assert set(walk.page.evaluate(fields)) == {""}
    held = walk.page.evaluate("document.documentElement.outerHTML") + json.dumps(
        walk.page.evaluate("[...document.querySelectorAll('input, textarea')].map((field) => field.value)")
    )
    for secret in (PASSPHRASE, PASSWORD):
        assert secret not in held
        assert secret.encode() not in owner_path.read_bytes() + path.read_bytes()


def test_two_files_made_one_after_the_other_share_nothing_secret(walk: Walk) -> None:
    with_owner(walk)
    first = parse_pdk(walk.make("one.pdk").read_bytes())
    walk.use_answer_file()
    second = parse_pdk(walk.make("two.pdk").read_bytes())
    assert unwrap(first.protector, lab()).value != unwrap(second.protector, lab()).value
    keys = [open_pdk(pdk, unwrap(pdk.protector, lab())).ssh_host_key for pdk in (first, second)]
    assert keys[0] != keys[1]


# The policy.

ELSEWHERE = "https://example.org/"
INJECTED = [
    ("fetch(url).catch(() => {})", "connect-src"),
    ("navigator.sendBeacon(url, 'x')", "connect-src"),
    ("new WebSocket('wss://example.org/').onerror = () => {}", "connect-src"),
    ("new Image().src = url", "img-src"),
    ("add('iframe', { src: url })", "frame-src"),
    ("add('style', { textContent: '*{}' })", "style-src-elem"),
    ("add('link', { rel: 'stylesheet', href: url })", "style-src-elem"),
    ("add('form', { action: url }).submit()", "form-action"),
    ("add('script', { src: url })", "require-trusted-types-for"),
    ("document.body.innerHTML = '<b>x</b>'", "require-trusted-types-for"),
    ("document.body.setAttribute('onclick', '1')", "require-trusted-types-for"),
]
BLOCKED = """(url) => new Promise((resolve) => {
  addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective), { once: true });
  const add = (tag, values) => document.body.appendChild(Object.assign(document.createElement(tag), values));
  try { %s } catch { /* a violation was told */ }
})"""


def test_the_policy_blocks_whatever_is_injected(walk: Walk, requests: list[Request]) -> None:
    walk.page.context.set_offline(False)  # it is the policy that blocks, not the missing network
    for script, directive in INJECTED:
        assert walk.page.evaluate(BLOCKED % script, ELSEWHERE) == directive, script
    loaded = [request.url for request in requests if request.failure is None]
    assert loaded == [(walk.folder / FILE_NAME).as_uri()]
    assert walk.complaints
    walk.complaints.clear()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_state_of_the_page_is_accessible(walk: Walk, size: tuple[int, int], scheme: str) -> None:
    page, tag = walk.page, f"{size[0]}-{scheme}"
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    look(page, f"offline-start-{tag}")
    walk.press_make()
    walk.problem("owner-name")
    look(page, f"offline-problem-{tag}")
    with_owner(walk)
    walk.make()
    look(page, f"offline-made-{tag}")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_keyboard_alone_makes_an_owner(walk: Walk) -> None:
    page = walk.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_label("Make a new one").focus()
    page.keyboard.press("Tab")
    for text in ("Contoso", PASSPHRASE, PASSPHRASE):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#owner-result")).to_be_focused(timeout=60_000)
    expect(page.get_by_role("status")).to_have_text("The owner guardian is made. Save it.")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_finds_the_host_key_in_the_known_hosts_line(walk: Walk) -> None:
    with_owner(walk)
    walk.make("my_web.pdk")
    line = walk.save("Save the known_hosts line")
    found = subprocess.run(["ssh-keygen", "-F", "my-web", "-f", line], capture_output=True, text=True, check=False)
    assert found.returncode == 0
    assert "ssh-ed25519" in found.stdout


def test_catalogs_chosen_together_are_added_together(walk: Walk) -> None:
    names = [f"Disk {number}" for number in range(7)]
    for name in names:
        (walk.folder / f"{name}.vsc").write_bytes(catalog(name, "1.0.0.0"))
    walk.page.locator("#disk-file").set_input_files([walk.folder / f"{name}.vsc" for name in names])
    expect(walk.page.locator("#disks li")).to_have_count(7)


def test_what_was_added_can_be_taken_out_again(walk: Walk) -> None:
    with_owner(walk)
    walk.page.get_by_role("button", name="Remove fabric-guardian").click()
    expect(walk.page.locator("#guardian-file")).to_be_focused()
    walk.page.get_by_role("button", name="Remove Debian 12").click()
    expect(walk.page.locator("#disk-file")).to_be_focused()
    expect(walk.page.locator(".card")).to_have_count(0)
    walk.press_make()
    assert "at least one guardian" in walk.problem("guardian-file")
    prepared(walk)
    assert parse_pdk(walk.make().read_bytes()).guardian_fingerprints == (lab().guardian.fingerprint,)
