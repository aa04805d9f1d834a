"""Runs one harness under atheris (libFuzzer)."""

import importlib
import sys
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
_INSTRUMENTED: Final = ("hgs", "fabric", "tenants", "asn1crypto")


def run(name: str) -> None:
    """Fuzz ``tests.fuzz.<name>`` with the arguments of the command line; does not return."""
    import atheris

    # Coverage is seen only in modules that atheris loads itself, so what the harness brought along is loaded again.
    for module in [loaded for loaded in sys.modules if loaded.split(".")[0] in _INSTRUMENTED]:
        del sys.modules[module]
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        target = importlib.import_module(f"tests.fuzz.{name}")
    atheris.Setup([*sys.argv, str(CORPUS / name)], target.check)
    atheris.Fuzz()


def corpus(name: str) -> list[Path]:
    """The files of a harness's corpus, by name."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
