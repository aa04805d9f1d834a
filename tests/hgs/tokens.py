"""A real token for tests: SoftHSM, with keys that are generated in it and cannot be taken out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

MODULES: Final = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
MODULE: Final = next((path for path in MODULES if Path(path).exists()), "")
PIN: Final = "the user's pin 471"
needs_token = pytest.mark.skipif(not MODULE, reason="needs Debian's softhsm2")

_GENERATE: Final = """
import sys, pkcs11
module, token, pin, label, bits, only_signs = sys.argv[1:]
flags = pkcs11.MechanismFlag
uses = {"capabilities": flags.SIGN | flags.VERIFY} if only_signs else {}
with pkcs11.lib(module).get_token(token_label=token).open(rw=True, user_pin=pin) as session:
    session.generate_keypair(pkcs11.KeyType.RSA, int(bits), store=True, label=label, id=label.encode(), **uses)
"""


@dataclass
class Token:
    """One token; its keys are made by another process, as an administrator would."""

    label: str
    environment: dict[str, str]

    def generate(self, label: str, bits: int = 2048, *, only_signs: bool = False) -> str:
        """A new RSA key in the token; its URI."""
        command = [sys.executable, "-c", _GENERATE, MODULE, self.label, PIN, label, str(bits), "yes" * only_signs]
        subprocess.run(command, check=True, env=self.environment, timeout=120)
        return f"pkcs11:token={self.label};object={label}"

    def manage(self, *arguments: str) -> None:
        """``softhsm2-util``."""
        command = ["softhsm2-util", *arguments]
        subprocess.run(command, check=True, env=self.environment, timeout=60, capture_output=True)

    def initialise(self) -> None:
        self.manage("--init-token", "--free", "--label", self.label, "--so-pin", PIN, "--pin", PIN)

    def delete(self) -> None:
        self.manage("--delete-token", "--token", self.label)


_made: list[Token] = []


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """SoftHSM's tokens are in a folder of this run; the module reads where when it is loaded."""
    if _made:  # another module of tests has asked already: one process, one module, one folder
        yield _made[0].environment
        return
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    yield dict(os.environ)
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="session")
def made_token(token_folder: dict[str, str]) -> Token:
    if not _made:
        _made.append(Token("hgs", token_folder))
        _made[0].initialise()
    return _made[0]


@pytest.fixture(scope="session")
def token_key_uri(made_token: Token) -> str:
    """A key that was generated in the token."""
    return made_token.generate("one")


@pytest.fixture(scope="session")
def second_token_key_uri(made_token: Token) -> str:
    return made_token.generate("two")


@pytest.fixture
def token(made_token: Token, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Token:
    """The token, with the module and the PIN in the settings of the node, in a process that has not used it yet."""
    settings.HGS_PKCS11_MODULE, settings.HGS_PKCS11_PIN = MODULE, PIN
    forget(monkeypatch)
    return made_token


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of the node."""
    import pkcs11

    from hgs import pkcs11 as tokens

    for library in pkcs11._loaded.values():
        if library.initialized:
            library.finalize()
    monkeypatch.setattr(tokens, "_tokens", tokens._Tokens())
