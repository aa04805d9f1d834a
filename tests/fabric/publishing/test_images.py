"""Images that name other files are refused before any tool opens those."""

import subprocess
from pathlib import Path

import pytest

from fabric.disks.errors import ImageError
from fabric.publishing import images
from fabric.publishing.images import Container, check_image


@pytest.fixture
def no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_arguments: object) -> bytes:
        raise AssertionError("a tool was run")

    monkeypatch.setattr(images, "run", run)


def made(folder: Path, *options: str) -> Path:
    path = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "16M"], check=True)
    return path


@pytest.mark.usefixtures("no_tool")
def test_a_backing_file_is_refused_unopened(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refused:
        check_image(made(tmp_path, "-u", "-b", "/etc/passwd", "-F", "raw"), Container.QCOW2)
    assert refused.value.code == "differencing"


@pytest.mark.usefixtures("no_tool")
def test_an_external_data_file_is_refused_unopened(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refused:
        check_image(made(tmp_path, "-o", f"data_file={tmp_path / 'other'}"), Container.QCOW2)
    assert refused.value.code == "image-kind"


@pytest.mark.usefixtures("no_tool")
@pytest.mark.parametrize("length", [4, 16, 79])
def test_an_image_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ImageError, match="cut short"):
        check_image(path, Container.QCOW2)


def test_an_image_of_its_own_tells_its_length(tmp_path: Path) -> None:
    assert check_image(made(tmp_path), Container.QCOW2) == 16 << 20
