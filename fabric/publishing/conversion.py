"""Converts a disk image to VHDX and tells how far it is, so that whoever waits can see it, and can stop it."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from fabric.publishing.errors import PublishingError
from fabric.publishing.images import Container
from fabric.publishing.tools import PATH

UNFINISHED: Final = ".converting-"
"""How the names of folders begin that hold half of a conversion; what a killed process left can be removed."""
_SHOWN: Final = re.compile(rb"\(([0-9]{1,3})(?:\.[0-9]+)?/100%\)")
_ASK_SECONDS: Final = 1.0
_WORDS_MAX: Final = 4096


def convert_watched(source: Path, target: Path, container: Container, report: Callable[[int], None]) -> None:
    """Write a VHDX of `source`; `target` exists whole or not at all.

    `report` is told the percent about once a second; what it raises ends the conversion. Raises `PublishingError`.
    """
    # A folder of its own: what a killed process has left running writes into another one.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=UNFINISHED) as name, tempfile.TemporaryFile() as words:
        new = Path(name) / target.name
        _run(["qemu-img", "convert", "-p", "-f", container.value, "-O", "vhdx", str(source), str(new)], words, report)
        new.replace(target)


def _run(command: list[str], words: IO[bytes], report: Callable[[int], None]) -> None:
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    try:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words
        )
    except FileNotFoundError:
        raise PublishingError(
            "tool-missing", "The tool qemu-img is not installed.", "Install the package qemu-utils."
        ) from None
    with process:
        try:
            _watch(process, report)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        words.seek(0)
        lines = words.read(_WORDS_MAX).decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {process.returncode}"
        raise PublishingError("tool-failed", f"qemu-img could not convert the disk: {said}")


def _watch(process: subprocess.Popen[bytes], report: Callable[[int], None]) -> None:
    output, percent = process.stdout, 0
    if output is None:
        raise ValueError("the process has no output to watch")
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if selector.select(_ASK_SECONDS):
                data = os.read(output.fileno(), 4096)
                if not data:
                    return
                shown = _SHOWN.findall(data)
                percent = min(int(shown[-1]), 100) if shown else percent
            report(percent)
