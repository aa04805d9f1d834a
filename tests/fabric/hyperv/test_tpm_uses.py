"""Secrets that the host's TPM gives out only so often, and only in the configuration they were stored in."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import HostError, TpmError
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.tpm import open_tpm
from fabric.hyperv.tpm_uses import CountedSecrets, Place
from tests.fabric.hyperv.conftest import BootedHost

pytestmark = pytest.mark.tpm
SECRET = bytes(range(32))


@contextmanager
def secrets_of(config: HostConfig) -> Iterator[CountedSecrets]:
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        yield CountedSecrets(tpm)


def refusal(secrets: CountedSecrets, place: Place) -> str:
    with pytest.raises(HostError) as caught:
        secrets.use(place)
    return caught.value.code


def test_a_secret_is_given_out_as_often_as_was_said_and_no_more(booted: BootedHost) -> None:
    with secrets_of(booted()) as secrets:
        place = secrets.store(SECRET, 2)
        assert secrets.left(place) == 2
        assert secrets.use(place) == SECRET
        assert secrets.left(place) == 1
        assert secrets.use(place) == SECRET
        assert secrets.left(place) == 0
        assert refusal(secrets, place) == "offline-used-up"


def test_the_count_goes_on_over_boots_of_the_same_configuration(booted: BootedHost) -> None:
    config = booted()
    with secrets_of(config) as secrets:
        place = secrets.store(SECRET, 2)
        secrets.use(place)
    boot_host(config)
    with secrets_of(config) as secrets:
        assert secrets.left(place) == 1
        assert secrets.use(place) == SECRET
        assert refusal(secrets, place) == "offline-used-up"


def test_another_configuration_gets_nothing_and_spends_nothing(booted: BootedHost) -> None:
    config = booted("hv01", "healthy")
    with secrets_of(config) as secrets:
        place = secrets.store(SECRET, 1)
    booted("hv01", "tampered")
    with secrets_of(config) as secrets:
        assert refusal(secrets, place) == "offline-configuration-changed"
        assert secrets.left(place) == 1
    booted("hv01", "healthy")
    with secrets_of(config) as secrets:
        assert secrets.use(place) == SECRET


def test_a_register_that_changes_after_the_boot_ends_it_too(booted: BootedHost) -> None:
    config = booted()
    with secrets_of(config) as secrets:
        place = secrets.store(SECRET, 1)
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        tpm.extend(7, bytes(32))
        assert refusal(CountedSecrets(tpm), place) == "offline-configuration-changed"


def test_the_tpm_itself_refuses_a_limit_that_was_raised_by_hand(booted: BootedHost) -> None:
    with secrets_of(booted()) as secrets:
        place = secrets.store(SECRET, 1)
        secrets.use(place)
        assert refusal(secrets, Place(place.index, place.limit + 5)) == "offline-configuration-changed"


def test_the_tpm_itself_refuses_to_read_when_the_count_is_over(
    booted: BootedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secrets_of(booted()) as secrets:
        place = secrets.store(SECRET, 1)
        secrets.use(place)
        monkeypatch.setattr(CountedSecrets, "left", lambda *_arguments: 1)
        with pytest.raises(TpmError):
            secrets.use(place)


def test_a_secret_made_anew_in_the_same_place_is_not_opened_by_an_older_note(booted: BootedHost) -> None:
    with secrets_of(booted()) as secrets:
        old = secrets.store(SECRET, 3)
        secrets.remove(old.index)
        assert secrets.left(old) == 0
        new = secrets.store(bytes(32), 3)
        assert new.index == old.index
        assert new.limit > old.limit - 3, "a counter made anew goes on where the last one ended"
        if new.limit != old.limit:
            assert refusal(secrets, old) in {"offline-configuration-changed", "offline-used-up"}
        assert secrets.use(new) == bytes(32)


def test_several_secrets_lie_side_by_side_and_are_removed_one_by_one(booted: BootedHost) -> None:
    with secrets_of(booted()) as secrets:
        first, second = secrets.store(SECRET, 1), secrets.store(bytes(32), 1)
        assert secrets.stored() == [first.index, second.index]
        secrets.remove(first.index)
        secrets.remove(first.index)
        assert secrets.stored() == [second.index]
        assert secrets.use(second) == bytes(32)


@pytest.mark.parametrize(("index", "limit"), [(0x01C00002, 1), (0x01806701, 1), (0x01806700, 0), (0x01806800, 1)])
def test_no_note_names_an_index_of_others(index: int, limit: int) -> None:
    with pytest.raises(ValueError, match="no place"):
        Place(index, limit)


@pytest.mark.parametrize(("secret", "uses"), [(SECRET[1:], 1), (SECRET, 0), (SECRET, 1001)])
def test_only_whole_secrets_with_a_limit_are_stored(booted: BootedHost, secret: bytes, uses: int) -> None:
    with secrets_of(booted()) as secrets, pytest.raises(ValueError, match="limited number"):
        secrets.store(secret, uses)
