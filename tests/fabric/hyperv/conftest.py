"""Emulated hosts with real software TPMs, each in a folder of its own; every TPM that a test starts is ended."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric.hyperv.agent import keep_profile
from fabric.hyperv.config import Capacity, HostConfig
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.state import HostState
from fabric.hyperv.storage import LibraryAddress
from fabric.hyperv.swtpm import SoftwareTpm
from tests.fabric.hyperv.fake_hgs import FakeHgs

BootedHost = Callable[..., HostConfig]


def config_in(folder: Path, name: str) -> HostConfig:
    """A host's configuration below `folder`; nothing answers at its addresses."""
    config = HostConfig(
        state=HostState.of(folder / "hosts", name),
        hgs_url="http://hgs.invalid",
        library=LibraryAddress("http://portal.invalid", "a-token"),
        broker_url="memory://",
        hypervisor="dry",
        address="127.0.0.1",
        tpm_ca=folder / "ca",
        external_tcti="",
        capacity=Capacity(4, 4096, 4),
    )
    config.state.create()
    return config


@pytest.fixture
def host(tmp_path: Path) -> HostConfig:
    """A host that has never booted."""
    return config_in(tmp_path, "hv01")


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[HostConfig], None]:
    """Gives a host a TPM. One is made for each name and copied from then on: making one takes a second."""
    store = tmp_path_factory.mktemp("factory")

    def deliver(config: HostConfig) -> None:
        made = SoftwareTpm(store / config.name)
        made.manufacture(store / "ca", config.name)
        if not config.state.tpm.manufactured:
            shutil.copytree(made.directory, config.state.tpm.directory)
        shutil.copytree(store / "ca", config.tpm_ca, dirs_exist_ok=True)

    return deliver


@pytest.fixture
def booted(tmp_path: Path, factory: Callable[[HostConfig], None]) -> Iterator[BootedHost]:
    """Boots hosts by name and profile; a host that exists is booted again."""
    started: list[HostConfig] = []

    def boot(name: str = "hv01", profile: str = "") -> HostConfig:
        config = config_in(tmp_path, name)
        started.append(config)
        factory(config)
        keep_profile(config, profile)
        boot_host(config)
        return config

    yield boot
    for config in started:
        config.state.tpm.switch_off()


@pytest.fixture
def hgs() -> FakeHgs:
    """An HGS that knows nobody yet."""
    return FakeHgs()
