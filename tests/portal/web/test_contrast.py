"""Contrast of every pair of colours that the stylesheets put on each other (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from pathlib import Path

import pytest

STYLES = Path(__file__).parents[3] / "static" / "web"
THEMES = ("light", "dark")
_TOKEN = re.compile(r"--([a-z-]+):\s*(?:light-dark\((#[0-9A-F]{6}), (#[0-9A-F]{6})\)|(#[0-9A-F]{6}));")

TEXT, SHAPE = 4.5, 3.0
INKS = ("text", "muted", "link", "error", "ok", "warning", "trust", "busy")
HEADERS = ("header-tenant", "header-fabric")
SURFACES = ("page", "sub", "selected")

# (foreground, background, smallest ratio); bars look the same in both themes
PAIRS = [
    *((name, surface, TEXT) for name in INKS for surface in ("page", "sub")),
    *((name, "selected", TEXT) for name in ("text", "link", "error")),
    *((name, "selected", SHAPE) for name in ("muted", "ok", "warning", "trust", "busy")),
    *(("text", surface, TEXT) for surface in ("warning-surface", "error-surface", "info-surface", "field")),
    ("muted", "error-surface", TEXT),
    ("error", "error-surface", TEXT),
    ("link", "info-surface", TEXT),
    ("warning", "warning-surface", SHAPE),
    ("primary-text", "primary", TEXT),
    ("page", "error", TEXT),  # the button of a destructive command
    ("page", "ok", SHAPE),  # the tick cut out of a shape
    ("control", "page", SHAPE),
    ("control", "sub", SHAPE),
    *(("focus", surface, SHAPE) for surface in SURFACES),
    ("rail-text", "rail", TEXT),
    ("rail-selected-text", "rail-selected", TEXT),
    ("focus-bar", "rail", SHAPE),
    ("focus-bar", "rail-selected", SHAPE),
    *((name, header, TEXT) for name in ("header-text", "header-muted") for header in HEADERS),
    ("focus-bar", "header-tenant", SHAPE),
    ("focus-bar", "header-fabric", SHAPE),
    ("bar-text", "bar", TEXT),
    ("bar-text", "bar-hover", TEXT),
    ("bar-disabled", "bar", TEXT),
    ("focus-bar", "bar", SHAPE),
    *(("notice-text", surface, TEXT) for surface in ("notice", "notice-failed", "notice-done")),
    *(("focus-bar", surface, SHAPE) for surface in ("notice", "notice-failed", "notice-done")),
]  # fmt: skip

# The drawer and the tray are dark in both themes.
DARK_PAIRS = [
    *((name, "drawer", TEXT) for name in ("text", "muted", "link", "error", "warning", "busy", "bar-text")),
    ("control", "drawer", SHAPE),
    ("focus", "drawer", SHAPE),
]


def tokens(theme: str) -> dict[str, str]:
    found = {}
    for name, light, dark, both in _TOKEN.findall((STYLES / "tokens.css").read_text()):
        found[name] = both or (light if theme == "light" else dark)
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


CASES = [(theme, *pair) for theme in THEMES for pair in PAIRS] + [("dark", *pair) for pair in DARK_PAIRS]


@pytest.mark.parametrize(("theme", "foreground", "background", "least"), CASES)
def test_a_pair_of_colours_is_legible(theme: str, foreground: str, background: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[foreground], colours[background]) >= least


def test_every_colour_token_is_in_a_pair() -> None:
    paired = {name for pair in [*PAIRS, *DARK_PAIRS] for name in pair[:2]}
    decoration = {"rule", "drawer-column"}
    assert set(tokens("light")) - paired == decoration


def test_colours_are_written_in_the_tokens_alone() -> None:
    overlay = {"#FFFFFF", "#1B1F24", "#FF8A8F", "#3A0006"}  # tooltip and failure badge, which no theme changes
    for name in ("shell.css", "parts.css"):
        written = set(re.findall(r"#[0-9A-Fa-f]{6}\b", (STYLES / name).read_text()))
        assert written <= overlay, name


def test_what_no_theme_changes_is_legible_too() -> None:
    assert contrast("#FFFFFF", "#1B1F24") >= TEXT
    assert contrast("#FF8A8F", "#3A0006") >= TEXT


def test_the_measure_itself_is_right() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)
