"""A fabric with one signing certificate, an import folder and a library of its own, and a worker that tests call."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from fabric.commands import signing_jobs
from fabric.publishing.certificates import write_signing_certificate
from tests.cast import Cast
from tests.fabric.template_disks import small_disk

SIGNER = "laboratory"
IMPORTED = "small.raw"


class Worker:
    """The control plane's worker: does what was sent when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, dict[str, Any]]] = []

    def send(self, task: str, kwargs: dict[str, Any], _queue: str, _countdown: float = 0) -> None:
        self.waiting.append((task, kwargs))

    def work(self) -> None:
        """Do what waits now, not what is sent meanwhile."""
        sent, self.waiting = self.waiting, []
        for task, kwargs in sent:
            run = {"fabric.inspect_disk": signing_jobs.inspect, "fabric.sign_template": signing_jobs.sign}[task]
            run(UUID(kwargs["job_id"]), UUID(kwargs["signing_id"]))


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture(scope="session")
def made_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="session")
def made_signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """signing.pem and signing.key, which take a while to make."""
    folder = tmp_path_factory.mktemp("signer")
    write_signing_certificate(f"Signer {SIGNER}", folder)
    return folder


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path, made_disk: Path, made_signer: Path) -> Path:
    """LIBRARY_DIR, a signer `laboratory`, and `small.raw` with its boot certificate in the import folder."""
    settings.LIBRARY_DIR = tmp_path / "library"
    settings.TEMPLATE_SIGNERS_DIR = tmp_path / "signers"
    settings.TEMPLATE_IMPORT_DIR = tmp_path / "import"
    put_signer(tmp_path, SIGNER, made_signer)
    (tmp_path / "import").mkdir()
    shutil.copyfile(made_disk, tmp_path / "import" / IMPORTED)
    shutil.copyfile(made_disk.with_name("boot-certificate.pem"), tmp_path / "import/small-boot-certificate.pem")
    return tmp_path


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    # Tests roll back, so that nothing commits: a message goes to the worker as if its transaction had.
    with (
        patch("fabric.dispatch._send", side_effect=made.send),
        patch("fabric.dispatch.transaction.on_commit", side_effect=lambda send: send()),
    ):
        yield made


def put_signer(folder: Path, name: str, made: Path) -> None:
    """NAME.pem and NAME.key in the signers' folder, of a certificate that is made."""
    (folder / "signers").mkdir(exist_ok=True)
    for suffix in (".pem", ".key"):
        shutil.copy(made / f"signing{suffix}", folder / f"signers/{name}{suffix}")


def add_signer(folder: Path, name: str) -> None:
    """A new certificate in the signers' folder."""
    write_signing_certificate(f"Signer {name}", folder / f"made-{name}")
    put_signer(folder, name, folder / f"made-{name}")
