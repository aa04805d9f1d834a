import base64
import hashlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from tenants.offline_page.build import BuildError, bundle, join_page, offline_page, published_sha256

ROOT = Path(__file__).parents[3]
TOKEN = re.compile(r"--([a-z-]+):\s*([^;]+);")


class Inventory(HTMLParser):
    """What a page holds: elements with attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.texts:
            self.texts[self._open].append(data)


def inventory() -> Inventory:
    return Inventory(offline_page().content.decode())


def test_the_published_digest_is_that_of_the_page() -> None:
    message = "renew it with: python -m tenants.offline_page"
    assert hashlib.sha256(offline_page().content).hexdigest() == published_sha256(), message


def test_every_process_builds_the_same_bytes() -> None:
    said = "from tenants.offline_page.build import offline_page; print(offline_page().sha256)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", said], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert digests == {offline_page().sha256}


def test_the_policy_forbids_everything_but_the_script_and_the_style_inside() -> None:
    page = inventory()
    policies = [found for tag, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"]
    assert [found["content"] for found in policies] == [offline_page().policy]
    directives = dict(part.split(" ", 1) for part in offline_page().policy.split("; "))
    assert directives.pop("trusted-types") == "xml"
    assert directives.pop("require-trusted-types-for") == "'script'"
    for kind in ("script", "style"):
        (text,) = page.texts[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert directives == dict.fromkeys(("default-src", "connect-src", "base-uri", "form-action"), "'none'")


def test_the_policy_stands_before_all_that_it_governs() -> None:
    tags = [tag for tag, _ in inventory().elements]
    assert tags[:4] == ["html", "head", "meta", "meta"]
    assert "style" not in tags[:4]


def test_the_page_names_nothing_outside_itself() -> None:
    for tag, attributes in inventory().elements:
        for name in ("src", "srcset", "action", "data", "poster", "style", "background"):
            assert name not in attributes, (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert not {tag for tag, _ in inventory().elements} & {"link", "img", "iframe", "object", "embed", "base"}
    assert "url(" not in inventory().texts["style"][0]
    assert "@import" not in inventory().texts["style"][0]


def test_every_field_has_a_label_and_every_description_exists() -> None:
    page = inventory()
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    labelled = {found["for"] for tag, found in page.elements if tag == "label" and "for" in found}
    for tag, found in page.elements:
        if tag in ("input", "select", "textarea") and found.get("type") not in ("radio", "checkbox"):
            assert found["id"] in labelled, found
        for name in (found.get("aria-describedby") or "").split():
            assert name in ids, found


def test_its_colours_are_those_of_the_portal() -> None:
    portal = dict(TOKEN.findall((ROOT / "static" / "web" / "tokens.css").read_text()))
    own = dict(TOKEN.findall(files("tenants.offline_page").joinpath("source", "page.css").read_text()))
    assert len(own) > 20
    assert own == {name: portal[name] for name in own}


def test_modules_are_written_once_and_before_those_that_import_them() -> None:
    script = bundle(
        {
            "main.js": 'import { a } from "./one.js";\nimport { b } from "./two.js";\na();\nb();\n',
            "one.js": 'import { c } from "./two.js";\nexport function a() {\n  return c;\n}\n',
            "two.js": "export async function b() {}\nexport const c = 1;\n",
            "unused.js": "export const d = 2;\n",
        },
        "main.js",
    )
    assert [line for line in script.splitlines() if line.startswith("// ")] == ["// two.js", "// one.js", "// main.js"]
    assert "const { c } = $two;" in script
    assert "return { b, c };" in script
    assert "export" not in script


@pytest.mark.parametrize(
    "text",
    [
        'import * as all from "./one.js";\n',
        'import one from "./one.js";\n',
        'import { a as b } from "./one.js";\n',
        'import { a } from "https://example.org/one.js";\n',
        'import { a } from "./missing.js";\n',
        'import { a } from "./main.js";\n',
        "export default 1;\n",
        "export let a = 1;\n",
        'export { a } from "./one.js";\n',
        'const one = await import("./one.js");\n',
    ],
)
def test_other_forms_of_modules_are_refused(text: str) -> None:
    with pytest.raises(BuildError):
        bundle({"main.js": text, "one.js": "export const a = 1;\n"}, "main.js")


@pytest.mark.parametrize("text", ["</script>", "</SCRIPT", "<!-- x", "</style>", "a\r\n"])
def test_what_would_end_an_element_is_refused(text: str) -> None:
    template = "%POLICY%%STYLE%%SCRIPT%"
    for style, script in ((text, ""), ("", text)):
        with pytest.raises(BuildError):
            join_page(template, style, script)


@pytest.mark.parametrize("template", ["", "%POLICY%%STYLE%", "%POLICY%%STYLE%%SCRIPT%%SCRIPT%"])
def test_a_template_without_its_places_is_refused(template: str) -> None:
    with pytest.raises(BuildError):
        join_page(template, "", "")


def test_a_server_gives_the_page_an_origin_of_its_own() -> None:
    served = offline_page().served_policy
    assert served.startswith(offline_page().policy)
    assert "frame-ancestors 'none'" in served
    assert "allow-same-origin" not in served.partition("sandbox")[2]
    assert "sandbox" in served
