"""Settings of the test suite: every application in one process, databases in memory, no broker."""

import base64
import os
import tempfile
from pathlib import Path

os.environ.setdefault("GF_ROLE", "all")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
os.environ.setdefault("SECRET_KEY", "for-tests-only")
os.environ.setdefault("TOKEN_PEPPERS", "1:for-tests-only")
os.environ.setdefault("HGS_MASTER_KEY", base64.b64encode(bytes(range(32))).decode())
os.environ.setdefault("HGS_FABRIC_TOKEN", "fabric-token-for-tests-only")
os.environ.setdefault("GF_VAR_DIR", tempfile.mkdtemp(prefix="gf-test-"))

from portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CELERY_BROKER_URL = "memory://"
LIBRARY_DIR = Path(os.environ["GF_VAR_DIR"]) / "library"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# HGS enforces its own access decisions (hgs.web.access, hgs.api); in its own process the portal's are not installed.
ACCESS_GUARDED_ELSEWHERE = ("hgs",)
