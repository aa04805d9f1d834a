"""Rollover bundles: what is written is read, and everything else is refused before it is used."""

import io
import json
import tracemalloc
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.shielding.pdk import PDK_MAX
from hgs.keyprotection.protector_form import PROTECTOR_MAX
from tenants.rollover import bundle as bundles
from tenants.rollover.bundle import (
    MANIFEST,
    Bundle,
    BundleItem,
    BundleKind,
    ObjectKind,
    WantedGuardian,
    read_bundle,
    write_bundle,
)
from tenants.rollover.errors import BundleError
from tests.hgs.wire.archives import crowded

WANTED = WantedGuardian("ab" * 32, "cd" * 32)
ID = "00112233-4455-6677-8899-aabbccddeeff"
OTHER = "10112233-4455-6677-8899-aabbccddeeff"
VM = BundleItem(ObjectKind.VM, ID, "web01", b"<Protector/>")
DATA = BundleItem(ObjectKind.SHIELDING_DATA, ID, "Web servers (1)", b"<ShieldingData/>")


def written(*items: BundleItem, kind: BundleKind = BundleKind.WORK) -> bytes:
    target = io.BytesIO()
    write_bundle(target, Bundle(kind, WANTED, items))
    return target.getvalue()


def read(data: bytes, kind: BundleKind = BundleKind.WORK) -> Bundle:
    return read_bundle(io.BytesIO(data), kind)


def refused(data: bytes, kind: BundleKind = BundleKind.WORK) -> str:
    with pytest.raises(BundleError) as caught:
        read(data, kind)
    return caught.value.code


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def with_manifest(change: Any, *items: BundleItem, kind: BundleKind = BundleKind.WORK) -> bytes:
    files = unpacked(written(*(items or (VM,)), kind=kind))
    value = json.loads(files[MANIFEST])
    changed = change(value)
    text = json.dumps(value if changed is None else changed, sort_keys=True, indent=1, ensure_ascii=False)
    return packed(files | {MANIFEST: text.encode() + b"\n"})


_ITEMS = st.lists(
    st.builds(
        lambda kind, number, name, content: BundleItem(kind, f"00112233-4455-6677-8899-{number:012x}", name, content),
        st.sampled_from(ObjectKind),
        st.integers(0, 2**48 - 1),
        st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=63),
        st.binary(min_size=1, max_size=300),
    ),
    max_size=6,
    unique_by=lambda item: item.path,
)


@given(_ITEMS)
@settings(max_examples=60)
def test_what_is_written_is_read(items: list[BundleItem]) -> None:
    data = written(*items)
    assert read(data).items == tuple(items)
    assert read(data).guardian == WANTED
    assert written(*read(data).items) == data


@given(st.binary(max_size=400))
def test_bytes_that_are_no_bundle_are_refused_in_words(data: bytes) -> None:
    assert refused(data) == "bundle-damaged"


@given(st.data())
@settings(max_examples=150)
def test_a_changed_byte_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    whole = bytearray(written(VM, DATA))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read(bytes(whole))
    except BundleError:
        return
    assert found.items == (VM, DATA)  # a byte that says nothing: a date, a permission


def test_a_result_says_what_it_replaces() -> None:
    item = BundleItem(ObjectKind.VM, ID, "web01", b"<Protector/>", replaces="ef" * 32)
    assert read(written(item, kind=BundleKind.RESULT), BundleKind.RESULT).items == (item,)
    with pytest.raises(BundleError):
        written(VM, kind=BundleKind.RESULT)


def test_a_work_file_is_no_result_and_the_other_way_round() -> None:
    assert refused(written(VM), BundleKind.RESULT) == "bundle-kind"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"vm/../../etc/passwd": b"x"}, "bundle-files"),
        ({f"vm/{OTHER}.xml": b"x"}, "bundle-files"),
        ({"vm/": b""}, "bundle-files"),
        ({f"vm/{ID}.xml": b"<Protector/>!"}, "bundle-hash"),
        ({f"vm/{ID}.xml": b""}, "bundle-object-size"),
        ({f"vm/{ID}.xml": bytes(PROTECTOR_MAX + 1)}, "bundle-object-size"),
        ({MANIFEST: b"{}"}, "bundle-manifest"),
        ({MANIFEST: b"["}, "bundle-manifest"),
        ({MANIFEST: b"[" * 100_000}, "bundle-manifest"),
    ],
)
def test_files_other_than_the_manifest_says_are_refused(files: dict[str, bytes], code: str) -> None:
    assert refused(packed(unpacked(written(VM)) | files)) == code


def test_a_bundle_without_one_of_its_files_is_refused() -> None:
    files = unpacked(written(VM, DATA))
    del files[DATA.path]
    assert refused(packed(files)) == "bundle-files"
    assert refused(packed({name: data for name, data in files.items() if name != MANIFEST})) == "bundle-files"


def test_a_file_that_is_there_twice_is_refused() -> None:
    target = io.BytesIO(written(VM))
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(VM.path, VM.content)
    assert refused(target.getvalue()) == "bundle-files"


def test_another_compression_is_refused() -> None:
    assert refused(packed(unpacked(written(VM)), zipfile.ZIP_LZMA)) == "bundle-compression"


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(more=1),
        lambda value: value.pop("guardian"),
        lambda value: value.update(guardian={"signing": "ab" * 32}),
        lambda value: value["guardian"].update(signing="AB" * 32),
        lambda value: value["guardian"].update(signing=7),
        lambda value: value.update(objects={}),
        lambda value: value["objects"].append(7),
        lambda value: value["objects"].append(value["objects"][0]),
        lambda value: value["objects"][0].update(id=ID.upper()),
        lambda value: value["objects"][0].update(id="no"),
        lambda value: value["objects"][0].update(id=[]),
        lambda value: value["objects"][0].update(kind="disk"),
        lambda value: value["objects"][0].update(kind=[]),
        lambda value: value["objects"][0].update(name=""),
        lambda value: value["objects"][0].update(name="a" * 64),
        lambda value: value["objects"][0].update(name="\x1b[2J"),
        lambda value: value["objects"][0].update(sha256="x"),
        lambda value: value["objects"][0].update(file="vm/other.xml"),
        lambda value: value["objects"][0].update(replaces="ab" * 32),
        lambda value: [value],
    ],
)
def test_a_manifest_of_another_form_is_refused(change: Any) -> None:
    assert refused(with_manifest(change)) == "bundle-manifest"


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_another_version_is_refused(version: object) -> None:
    assert refused(with_manifest(lambda value: value.update(version=version))) == "bundle-version"


def test_a_manifest_has_one_way_to_be_written() -> None:
    files = unpacked(written(VM))
    for other in (files[MANIFEST][:-1], files[MANIFEST].replace(b'"kind"', b'"kind": "work",\n "kind"', 1)):
        assert refused(packed(files | {MANIFEST: other})) == "bundle-manifest"


def test_limits_hold_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [BundleItem(ObjectKind.SHIELDING_DATA, ID[:-1] + str(n), "data", bytes(PDK_MAX)) for n in range(3)]
    data = written(*items)
    monkeypatch.setattr(bundles, "TOTAL_MAX", 2 * PDK_MAX)
    assert refused(data) == "bundle-too-large"
    monkeypatch.setattr(bundles, "OBJECTS_MAX", 2)
    assert refused(data) == "bundle-objects"
    monkeypatch.setattr(bundles, "FILE_MAX", len(data) - 1)
    assert refused(data) == "bundle-too-large"


def test_a_directory_of_more_files_than_allowed_is_not_read() -> None:
    data = io.BytesIO(crowded(100_000))
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            read_bundle(data, BundleKind.RESULT)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_bundle_of_as_many_objects_as_allowed_is_read() -> None:
    items = [replace(DATA, id=f"00112233-4455-6677-8899-{n:012x}", content=b"x") for n in range(bundles.OBJECTS_MAX)]
    assert len(read(written(*items)).items) == bundles.OBJECTS_MAX


def test_a_file_as_large_as_allowed_is_read_as_it_was_stored() -> None:
    item = replace(DATA, content=bytes(PDK_MAX))
    assert read(packed(unpacked(written(item)), zipfile.ZIP_STORED)).items == (item,)


def test_nothing_is_written_that_a_reader_would_refuse() -> None:
    for wrong in (
        BundleItem(ObjectKind.VM, ID, "web01", b""),
        BundleItem(ObjectKind.VM, ID, "web01", bytes(PROTECTOR_MAX + 1)),
        BundleItem(ObjectKind.VM, "x", "web01", b"x"),
        BundleItem(ObjectKind.VM, ID, "", b"x"),
    ):
        with pytest.raises(BundleError):
            written(wrong)
    with pytest.raises(BundleError):
        written(VM, VM)
