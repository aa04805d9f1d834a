"""Who a ticket describes is read whole or not at all."""

import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from hgs.attestation.pac import MAX_GROUPS, MAX_PAC, read_pac
from hgs.attestation.sid import Sid
from tests.hgs.attestation.pacs import DOMAIN, ENABLED, Account, container, logon_info, pac, requestor

RIDS = st.integers(0, 2**32 - 1)
SIDS = st.builds(
    Sid, st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15).map(tuple)
)
DOMAINS = st.builds(
    Sid, st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=14).map(tuple)
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ACCOUNTS = st.builds(
    Account,
    name=NAMES,
    domain_name=NAMES,
    domain=DOMAINS,
    user=st.integers(1, 2**32 - 1),
    primary=RIDS,
    groups=st.lists(st.tuples(RIDS, st.just(ENABLED)), max_size=20).map(tuple),
    extra=st.lists(st.tuples(SIDS, st.just(ENABLED)), max_size=8).map(tuple),
    texts=st.lists(NAMES, min_size=5, max_size=5).map(tuple),
)


@given(ACCOUNTS)
def test_what_a_domain_writes_is_read_back(account: Account) -> None:
    found = read_pac(pac(account))
    assert (found.name, found.domain) == (account.name, account.domain_name)
    assert found.sid == account.domain.with_rid(account.user)
    expected = [account.primary, *(rid for rid, _ in account.groups)]
    wanted = [*map(account.domain.with_rid, expected), *(sid for sid, _ in account.extra)]
    assert found.groups == tuple(dict.fromkeys(wanted))


@given(st.binary(max_size=400))
def test_nonsense_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(AttestationError):
        read_pac(data)


@given(st.data())
def test_any_changed_byte_is_refused_or_read_and_never_crashes(data: st.DataObject) -> None:
    extra = ((Sid(18, (1,)), ENABLED),)
    whole = bytearray(pac(Account(extra=extra, resource_domain=DOMAIN, resource=((1200, ENABLED),))))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    with suppress(AttestationError):
        assert len(read_pac(bytes(whole)).groups) <= 5


@given(st.data())
def test_anything_cut_off_is_refused(data: st.DataObject) -> None:
    whole = logon_info(Account(extra=((Sid(18, (1,)), ENABLED),)))
    with pytest.raises(AttestationError):
        read_pac(container((1, whole[: data.draw(st.integers(0, len(whole) - 1))])))


def test_groups_that_are_disabled_or_for_denial_do_not_count() -> None:
    groups = ((1104, ENABLED), (1105, 0x3), (1106, ENABLED | 0x10))
    extra = ((Sid(5, (21, 9, 9, 9, 1200)), 0), (Sid(5, (21, 9, 9, 9, 1201)), ENABLED))
    found = read_pac(pac(Account(groups=groups, extra=extra)))
    assert [str(sid).rpartition("-")[2] for sid in found.groups] == ["515", "1104", "1201"]


def test_domain_local_groups_count() -> None:
    other = Sid(5, (21, 7, 7, 7))
    found = read_pac(pac(Account(resource_domain=other, resource=((1300, ENABLED),))))
    assert other.with_rid(1300) in found.groups


def test_a_computer_is_told_from_a_person() -> None:
    assert read_pac(pac(Account())).is_computer
    assert read_pac(pac(Account(control=0x100))).is_computer
    assert not read_pac(pac(Account(control=0x10))).is_computer


@pytest.mark.parametrize(
    "account",
    [
        Account(extra=((Sid(18, (1,)), ENABLED),), flags=0),
        Account(resource_domain=DOMAIN, resource=((1200, ENABLED),), flags=0),
        Account(resource=((1200, ENABLED),)),
    ],
    ids=["extra unannounced", "resource unannounced", "resource without a domain"],
)
def test_groups_that_are_not_announced_are_refused(account: Account) -> None:
    with pytest.raises(Malformed):
        read_pac(pac(account))


def test_an_account_without_a_number_is_refused() -> None:
    with pytest.raises(Unsupported):
        read_pac(pac(Account(user=0)))


def test_a_ticket_that_somebody_else_requested_is_refused() -> None:
    account = Account()
    own = account.domain.with_rid(account.user)
    assert read_pac(container((1, logon_info(account)), (0x12, requestor(own)))).sid == own
    with pytest.raises(Malformed, match="another account"):
        read_pac(container((1, logon_info(account)), (0x12, requestor(replace(own, subauthorities=(21, 1))))))
    with pytest.raises(Malformed):
        read_pac(container((1, logon_info(account)), (0x12, requestor(own)[:-1])))


@pytest.mark.parametrize("content", [b"", bytes(40)])
def test_a_ticket_that_another_service_got_in_the_accounts_name_is_refused(content: bytes) -> None:
    """S4U_DELEGATION_INFO: the account itself asked for nothing."""
    with pytest.raises(Unsupported, match="on behalf of the account"):
        read_pac(container((1, logon_info(Account())), (0x0B, content)))


def test_too_many_groups_are_refused_before_they_are_read() -> None:
    most = tuple((1000 + index, ENABLED) for index in range(MAX_GROUPS))
    assert len(read_pac(pac(Account(groups=most))).groups) == MAX_GROUPS + 1
    whole = bytearray(pac(Account()))
    count_at = 8 + 2 * 16 + 16 + 4 + 48 + 48 + 4 + 8
    assert struct.unpack_from("<I", whole, count_at) == (2,)
    struct.pack_into("<I", whole, count_at, 0xFFFFFFFF)
    with pytest.raises(TooLarge):
        read_pac(bytes(whole))


def test_a_list_of_another_length_than_announced_is_refused() -> None:
    whole = bytearray(pac(Account()))
    count_at = 8 + 2 * 16 + 16 + 4 + 48 + 48 + 4 + 8
    struct.pack_into("<I", whole, count_at, 1)
    with pytest.raises(Malformed, match="not as long as announced"):
        read_pac(bytes(whole))


def test_what_follows_the_account_is_refused() -> None:
    body = logon_info(Account())[16:] + bytes(8)
    longer = struct.pack("<BBHIII", 1, 0x10, 8, 0xCCCCCCCC, len(body), 0) + body
    with pytest.raises(Malformed, match="followed by something else"):
        read_pac(container((1, longer)))


@pytest.mark.parametrize(
    "buffers",
    [
        struct.pack("<II", 0, 0),
        struct.pack("<II", 1, 1) + struct.pack("<IIQ", 1, 0, 24),
        struct.pack("<II", 33, 0) + bytes(33 * 16),
        struct.pack("<II", 2, 0),
        struct.pack("<II", 1, 0) + struct.pack("<IIQ", 1, 8, 28) + bytes(20),
        struct.pack("<II", 1, 0) + struct.pack("<IIQ", 1, 8, 8) + bytes(8),
        struct.pack("<II", 1, 0) + struct.pack("<IIQ", 1, 2**31, 24) + bytes(8),
        struct.pack("<II", 1, 0) + struct.pack("<IIQ", 1, 8, 2**63) + bytes(8),
        struct.pack("<II", 2, 0) + struct.pack("<IIQIIQ", 6, 16, 40, 7, 8, 48) + bytes(16),
        struct.pack("<II", 2, 0) + struct.pack("<IIQIIQ", 6, 8, 40, 6, 8, 48) + bytes(16),
        container((6, bytes(16))),
        container((1, b"")),
        bytes(MAX_PAC + 1),
    ],
    ids=[
        "none", "version", "many", "cut short", "not aligned", "inside the head", "too long", "far away", "overlapping",
        "twice", "no account", "empty account", "too large",
    ],
)  # fmt: skip
def test_a_container_that_lies_about_its_parts_is_refused(buffers: bytes) -> None:
    with pytest.raises(AttestationError):
        read_pac(buffers)
