"""What is written is what canonicalisation makes of it, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from hgs.wire.xmlform import Written, XmlFormError, build, build_bytes, build_canonical, build_text, canonical

NAMESPACES = st.sampled_from(["urn:a", "urn:b", "urn:c"])
NAMES = st.sampled_from(["A", "B", "Wrapping", "Id"])
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cs", "Cc"])
    | st.sampled_from("\t\n\r&<>\"'")
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["Id", "Algorithm", "a", "Z"]), TEXT, max_size=3)


def leaves() -> st.SearchStrategy[Written]:
    texts = st.builds(build_text, NAMESPACES, NAMES, TEXT, ATTRIBUTES)
    return texts | st.builds(build_bytes, NAMESPACES, NAMES, st.binary(max_size=20), ATTRIBUTES)


def elements() -> st.SearchStrategy[Written]:
    def around(children: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
        return st.builds(
            lambda ns, name, inner, attributes: build(ns, name, *inner, attributes=attributes),
            NAMESPACES,
            NAMES,
            st.lists(children, max_size=3),
            ATTRIBUTES,
        )

    return st.recursive(leaves(), around, max_leaves=8)


@given(elements())
def test_what_is_written_is_canonical(element: Written) -> None:
    data = canonical(element)
    assert etree.tostring(etree.fromstring(data), method="c14n", exclusive=True) == data


@given(elements(), leaves())
def test_a_child_that_is_added_later_stands_as_one_that_was_there(parent: Written, child: Written) -> None:
    built = build("urn:a", "Root", parent, child)
    added = build("urn:a", "Root", parent)
    added.append(child)
    assert canonical(added) == canonical(built)


@given(TEXT, ATTRIBUTES)
def test_what_was_put_in_is_read_out(text: str, attributes: dict[str, str]) -> None:
    element = etree.fromstring(canonical(build_text("urn:a", "A", text, attributes)))
    assert (element.text or "") == text
    assert dict(element.attrib) == attributes


def test_canonical_children_stay_as_they_are() -> None:
    inner = canonical(build_text("urn:b", "B", "x"))
    assert canonical(build_canonical("urn:a", "A", inner)) == b'<A xmlns="urn:a">' + inner + b"</A>"


@pytest.mark.parametrize("text", ["\0", "\x1f", "\ufffe", "\ud800", "a\x0bb"])
def test_what_xml_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(XmlFormError):
        build_text("urn:a", "A", text)
    with pytest.raises(XmlFormError):
        build("urn:a", "A", attributes={"Id": text})
