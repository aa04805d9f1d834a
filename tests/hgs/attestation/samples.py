"""Real evidence, where it is at hand: public logs, quotes and certificates that are not part of the project."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "samples"


def sample(path: str) -> bytes:
    """The file's bytes; skips the test where the samples are missing."""
    file = FOLDER / path
    if not file.exists():
        pytest.skip("the real samples are not on this machine (../shared/samples)")
    return file.read_bytes()


def index(section: str) -> list[dict[str, Any]]:
    """The section's entries; empty where the samples are missing."""
    file = FOLDER / "index.json"
    entries: list[dict[str, Any]] = json.loads(file.read_text())[section] if file.exists() else []
    return entries
