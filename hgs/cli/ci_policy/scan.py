"""Finds the images below a folder and makes a policy that allows them."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from hgs.attestation.ci_policy import PolicyBuilder, PublisherRule
from hgs.cli.ci_policy.pe import Image, NotAnImage, read_image

_SUFFIXES: Final = frozenset(
    {".sys", ".dll", ".exe", ".efi", ".ocx", ".cpl", ".scr", ".drv", ".mui", ".ax", ".acm", ".com", ".node", ".pyd"}
)


class Level(StrEnum):
    """What a rule about an image names: who published it, that and which file, or its hash."""

    PUBLISHER = "publisher"
    FILE_PUBLISHER = "file-publisher"
    HASH = "hash"


@dataclass
class Scan:
    """What a folder holds. ``skipped`` are files that look like images and are none, with the reason."""

    images: list[Image] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def scan(paths: Iterable[Path]) -> Scan:
    """Read every image at or below ``paths``, in the order of their names; links are not followed."""
    found = Scan()
    for path, is_named in _files(paths):
        try:
            found.images.append(read_image(path))
        except NotAnImage as error:
            # Most files below a folder are none, and nobody wants to hear of them.
            if is_named or path.suffix.lower() in _SUFFIXES:
                found.skipped.append((path, str(error)))
        except OSError as error:
            found.skipped.append((path, error.strerror or "it cannot be read"))
    return found


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                file = Path(folder) / name
                if not file.is_symlink():
                    yield file, False


@dataclass(frozen=True)
class Written:
    """By which level an image is allowed, and why not by the one that was asked for."""

    image: Image
    level: Level
    reason: str = ""


def allow(builder: PolicyBuilder, image: Image, level: Level, fallback: Level | None) -> Written | str:
    """Allow an image at ``level``, or at ``fallback`` where it lacks what that takes; else the reason why neither."""
    why = ""
    for chosen in (level, fallback):
        if chosen is None:
            break
        problem = _allow(builder, image, chosen)
        if not problem:
            return Written(image, chosen, why)
        why = why or problem
    return why


def _allow(builder: PolicyBuilder, image: Image, level: Level) -> str:
    if level is Level.HASH:
        for digest, kind in ((image.sha1, "SHA-1"), (image.sha256, "SHA-256")):
            builder.allow_hash(digest, drivers=image.drivers, label=f"{image.name} {kind}")
        return ""
    if not image.signatures:
        return image.note or "it has no signature of its own"
    rule = _publisher(image)
    if rule is None:
        return "its signature does not name its publisher and the authority above"
    if level is Level.PUBLISHER:
        builder.allow_publisher(rule, drivers=image.drivers)
        return ""
    if not image.original_name or image.version is None:
        return "it has no original file name and version"
    builder.allow_file(rule, image.original_name, image.version, drivers=image.drivers, label=image.name)
    return ""


def _publisher(image: Image) -> PublisherRule | None:
    for signature in image.signatures:
        if signature.authority is not None and signature.publisher:
            return PublisherRule(signature.authority.tbs, signature.publisher, signature.authority.name)
    return None
