"""Where a Debian system's packages come from: the archive that this machine's own apt uses, or mirrors that are named.

apt says what it knows (`apt-get indextargets`), so no form of its configuration files is read here, and third parties'
archives are told from the distribution's by the origin that their signed release files state.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric.publishing.errors import PublishingError
from fabric.publishing.tools import run

_FIELDS = ("CREATED_BY", "ORIGIN", "TRUSTED", "CODENAME", "COMPONENT", "REPO_URI")
_ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
_POCKETS = ("", "-updates", "-security")
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,30}")
_MIRROR = re.compile(r"(?:https?|file|copy):/[!-~]+")
# What a publisher's machine needs to reach an archive, and what it was told about the archive's clock.
_CARRIED = re.compile(r'^(Acquire::(?:https?::Proxy|Check-Valid-Until|Check-Date|Retries)) "([^"]*)";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Archive:
    """A suite such as `bookworm`, sources.list(5) lines to fetch it by, and apt settings (name=value) for that."""

    suite: str
    sources: tuple[str, ...]
    settings: tuple[str, ...] = ()


def choose_archive(suite: str | None = None, mirrors: Sequence[str] = ()) -> Archive:
    """The running distribution's suite from its own archive, unless others are named. Raises `PublishingError`.

    `mirrors` are addresses of archives, or lines of sources.list(5).
    """
    release = platform.freedesktop_os_release()
    running = release.get("VERSION_CODENAME", "")
    wanted = suite or running
    if not _SUITE.fullmatch(wanted):
        raise PublishingError("suite", f"{wanted!r} is not the name of a suite.", "Name one, such as bookworm.")
    settings = apt_settings(run(["apt-config", "dump"]).decode())
    if mirrors:
        return Archive(wanted, tuple(_checked(_mirror_line(item, wanted)) for item in mirrors), settings)
    origin = _ORIGINS.get(release.get("ID", ""))
    found: list[str] = []
    if origin and running:
        form = "\t".join(f"$({name})" for name in _FIELDS)
        found = sources_of(run(["apt-get", "indextargets", "--format", form]).decode(), origin, running, wanted)
    if not found:
        raise PublishingError(
            "archive-unknown",
            f"apt on this machine knows no archive of {running or 'its distribution'}.",
            "Run apt-get update, or name an archive with --mirror.",
        )
    return Archive(wanted, tuple(_checked(line) for line in found), settings)


def sources_of(targets: str, origin: str, running: str, wanted: str) -> list[str]:
    """Lines of sources.list(5) for the suite `wanted`, from apt's index targets (`_FIELDS`, tab-separated).

    Only verified archives of `origin` count, and of them the suite `running` with its updates and security updates.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for row in targets.splitlines():
        values = dict(zip(_FIELDS, row.split("\t"), strict=False))
        pocket = values.get("CODENAME", "").removeprefix(running)
        if len(values) == len(_FIELDS) and _counts(values, origin, running) and pocket in _POCKETS:
            components = lines.setdefault((values["REPO_URI"], wanted + pocket), [])
            if values["COMPONENT"] not in components:
                components.append(values["COMPONENT"])
    return [f"deb {address} {suite} {' '.join(components)}" for (address, suite), components in lines.items()]


def apt_settings(dump: str) -> tuple[str, ...]:
    """Of `apt-config dump`, what the archive cannot be reached without, as `name=value`."""
    return tuple(f"{name}={value}" for name, value in _CARRIED.findall(dump))


def _counts(values: Mapping[str, str], origin: str, running: str) -> bool:
    return (
        values["CREATED_BY"] == "Packages"
        and values["ORIGIN"] == origin
        and values["TRUSTED"] == "yes"
        and values["CODENAME"].startswith(running)
    )


def _mirror_line(mirror: str, suite: str) -> str:
    if mirror.startswith("deb "):
        return mirror
    if not _MIRROR.fullmatch(mirror):
        raise PublishingError("mirror", f"{mirror!r} is neither an address nor a line of sources.list that begins deb.")
    return f"deb {mirror} {suite} main"


def _checked(line: str) -> str:
    """The line, if it keeps apt's verification on and no password in it. Raises `PublishingError`."""
    options = re.search(r"\[(.*?)\]", line)
    if "\n" in line or (options and re.search(r"trusted|allow-|check-", options.group(1), re.IGNORECASE)):
        raise PublishingError(
            "mirror-unverified", "A source that turns apt's verification off cannot be used.", "Leave that option out."
        )
    if re.search(r"//[^/\s]*@", line):
        raise PublishingError(
            "mirror-password",
            "A source holds a user's name or password, which every machine made from the template would have.",
            "Use a mirror that asks for none.",
        )
    return line
