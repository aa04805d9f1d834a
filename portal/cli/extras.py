"""Which extra of this project brings a module that is missing, read from the installed project's own metadata."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Final

PROJECT: Final = "open-guarded-fabric"
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)[^;]*;.*extra == ['\"]([^'\"]+)['\"]")
# Modules whose name is not that of the package which brings them.
_PACKAGES: Final = {
    "rest_framework": "djangorestframework",
    "environ": "django-environ",
    "csp": "django-csp",
    "virt": "virt-firmware",
    "google": "protobuf",
}


def extra_for(module: str) -> str | None:
    """The extra that brings `module`, None if no extra names it. The smallest extra wins."""
    top = module.partition(".")[0]
    package = _normal(_PACKAGES.get(top, top))
    try:
        requirements = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return None
    extras: dict[str, set[str]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            extras.setdefault(match[2], set()).add(_normal(match[1]))
    # Installed metadata has the extras spelt out, so a package of [tenant] is named by every larger extra as well.
    fitting = [extra for extra, packages in extras.items() if package in packages]
    return min(fitting, key=lambda extra: len(extras[extra]), default=None)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
