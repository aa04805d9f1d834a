"""Joins the page's modules, stylesheet and template into one HTML file.

The same sources give the same bytes on every machine: nothing is minified, dated or ordered by chance, so whoever has
the sources can check the published SHA-256, and whoever has the file can read it.

Each module becomes a function of its own, which is called once and gives back what the module exports. Only the forms
of `import` and `export` that the modules use are understood; anything else is an error, not a guess.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

ENTRY: Final = "main.js"
FILE_NAME: Final = "shielding-data.html"
_IMPORT: Final = re.compile(r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "\./(\w+\.js)";\n', re.MULTILINE)
_BARE_IMPORT: Final = re.compile(r'^import "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_LEFT_OVER: Final = re.compile(r"^\s*(?:import|export)\b.*|\bimport\(.*", re.MULTILINE)
_PLACE: Final = re.compile(r"%(POLICY|STYLE|SCRIPT)%")
# What a module may be, written into a page, without ending its element or hiding what follows.
_ENDS_ELEMENT: Final = re.compile(r"</(?:script|style)|<!--|\r", re.IGNORECASE)
_SANDBOX: Final = "sandbox allow-scripts allow-forms allow-downloads allow-modals"


class BuildError(Exception):
    """A source of the page is of a form that the build does not understand."""


@dataclass(frozen=True, slots=True)
class OfflinePage:
    """The built page. `policy` is the content security policy in its meta element."""

    content: bytes
    policy: str

    @property
    def sha256(self) -> str:
        """64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def served_policy(self) -> str:
        """The policy for a server's header: the page's own, and what a meta element cannot say.

        The sandbox gives the page an origin of its own, so it can do nothing in the name of whoever is signed in.
        """
        return f"{self.policy}; frame-ancestors 'none'; {_SANDBOX}"


@cache
def offline_page() -> OfflinePage:
    """The page of this package. Raises BuildError."""
    source = files(__package__).joinpath("source")
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in source.iterdir() if entry.is_file()}
    modules = {name: text for name, text in texts.items() if name.endswith(".js")}
    return join_page(texts["page.html"], texts["page.css"], bundle(modules, ENTRY))


def published_sha256() -> str:
    """The digest that this package publishes for its page, 64 lower-case hexadecimal digits."""
    return files(__package__).joinpath("SHA256").read_text(encoding="ascii").split()[0]


def join_page(template: str, style: str, script: str) -> OfflinePage:
    """The page of a template with the places %POLICY%, %STYLE% and %SCRIPT%. Raises BuildError."""
    for text in (style, script):
        if found := _ENDS_ELEMENT.search(text):
            raise BuildError(f"{found[0]!r} may not stand in a script or a stylesheet of the page")
    policy = _policy(script, style)
    parts = {"POLICY": policy, "STYLE": style, "SCRIPT": script}
    places = _PLACE.findall(template)
    if sorted(places) != sorted(parts):
        raise BuildError("the template has each of its places exactly once")
    return OfflinePage(_PLACE.sub(lambda place: parts[place[1]], template).encode(), policy)


def _policy(script: str, style: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_source(script)}",
            f"style-src {_source(style)}",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types xml",
        )
    )


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One script of the module `entry` and all it imports. Raises BuildError."""
    written: dict[str, str] = {}
    _add(modules, entry, written, ())
    return "\n" + "\n".join(written.values())


def _add(modules: Mapping[str, str], name: str, written: dict[str, str], path: tuple[str, ...]) -> None:
    """Write what a module imports, then the module, unless that is done already."""
    if name in written:
        return
    if name in path:
        raise BuildError(f"{' imports '.join((*path, name))}: modules may not import in a circle")
    if name not in modules:
        raise BuildError(f"there is no module {name}")
    text = modules[name]
    for wanted in sorted({*(found[1] for found in _IMPORT.findall(text)), *_BARE_IMPORT.findall(text)}):
        _add(modules, wanted, written, (*path, name))
    written[name] = _as_function(name, text)


def _as_function(name: str, text: str) -> str:
    exported = [found[1] for found in _EXPORT.findall(text)]
    body = _IMPORT.sub(lambda found: _constants(found[1], found[2]), text)
    body = _EXPORT.sub(r"\1 \2", _BARE_IMPORT.sub("", body))
    if found := _LEFT_OVER.search(body):
        raise BuildError(f"{name}: {found[0].strip()!r} is of a form that the build does not understand")
    return f"// {name}\nconst {_variable(name)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _constants(names: str, module: str) -> str:
    listed = ", ".join(part for part in (name.strip() for name in names.split(",")) if part)
    return f"const {{ {listed} }} = {_variable(module)};\n"


def _variable(module: str) -> str:
    return f"${module.removesuffix('.js')}"
