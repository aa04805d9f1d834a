import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.wire import xmlform
from hgs.wire.xmlform import Fields, XmlFormError

NS = "urn:test"


def parse(text: str) -> xmlform.Element:
    return xmlform.parse_document(text.encode(), namespace=NS, name="Root", limit=1000)


def refusal(text: str) -> str:
    with pytest.raises(XmlFormError) as caught:
        parse(text)
    return caught.value.code


def test_a_canonical_document_parses() -> None:
    assert (
        xmlform.canonical(parse('<Root xmlns="urn:test"><A>1</A></Root>')) == b'<Root xmlns="urn:test"><A>1</A></Root>'
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('<?xml version="1.0"?><Root xmlns="urn:test"></Root>', "processing-instruction"),
        ('<Root xmlns="urn:test"><?do it?></Root>', "processing-instruction"),
        ('<Root xmlns="urn:test"><!-- quiet --></Root>', "comment"),
        ('<!DOCTYPE Root><Root xmlns="urn:test"></Root>', "document-type"),
        ('<!DOCTYPE Root [<!ENTITY a "b">]><Root xmlns="urn:test">&a;</Root>', "document-type"),
        ('<Root xmlns="urn:test"><![CDATA[x]]></Root>', "markup-declaration"),
        ('<Root xmlns="urn:test">&copy;</Root>', "entity"),
        ('<Root xmlns="urn:test">&#65;</Root>', "entity"),
        ('<Root xmlns="urn:test">&apos;</Root>', "entity"),
        ('<Root xmlns="urn:test"/>', "not-canonical"),
        ('<Root xmlns="urn:test" ></Root>', "not-canonical"),
        ("<Root xmlns='urn:test'></Root>", "not-canonical"),
        ('<Root xmlns="urn:test" xmlns:unused="urn:x"></Root>', "not-canonical"),
        ('<Root xmlns="urn:test"></Root>\n', "not-canonical"),
        ('<Root xmlns="urn:test"><Inner xmlns="not/a:whole/uri"></Inner></Root>', "not-canonical"),
        ('<r:Root xmlns:r="urn:test"></r:Root>', "prefixed-name"),
        ('<Other xmlns="urn:test"></Other>', "wrong-root"),
        ("<Root></Root>", "wrong-root"),
        ('<Root xmlns="urn:test">', "not-well-formed"),
        ("PK\x03\x04 something else", "wrong-root"),
        ('<Root xmlns="urn:test">' + "x" * 1000 + "</Root>", "document-too-large"),
    ],
)
def test_any_other_way_of_writing_it_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(XmlFormError):
        xmlform.parse_document(b'<Root xmlns="urn:test">\xff</Root>', namespace=NS, name="Root", limit=1000)


def test_fields_are_read_in_order_only() -> None:
    root = parse('<Root xmlns="urn:test"><B></B><A></A></Root>')
    with pytest.raises(XmlFormError, match="should go on with A"):
        Fields(root).take("A")


def test_fields_refuse_what_is_left_over() -> None:
    fields = Fields(parse('<Root xmlns="urn:test"><A></A><B></B></Root>'))
    fields.take("A")
    with pytest.raises(XmlFormError, match="contains B"):
        fields.end()


def test_fields_refuse_text_between_elements() -> None:
    with pytest.raises(XmlFormError) as caught:
        Fields(parse('<Root xmlns="urn:test"><A></A> <B></B></Root>'))
    assert caught.value.code == "stray-text"


def test_fields_refuse_attributes_they_do_not_know() -> None:
    with pytest.raises(XmlFormError) as caught:
        Fields(parse('<Root xmlns="urn:test" More="1"></Root>'))
    assert caught.value.code == "unknown-attribute"


def test_fields_stop_at_the_limit_of_a_repeated_element() -> None:
    with pytest.raises(XmlFormError) as caught:
        Fields(parse('<Root xmlns="urn:test"><A></A><A></A><A></A></Root>')).take_all("A", 2)
    assert caught.value.code == "too-many-elements"


@pytest.mark.parametrize("text", ["AA", "AA==\n", "AB==", "A A=", "====", "é"])
def test_base64_has_one_form(text: str) -> None:
    with pytest.raises(XmlFormError):
        xmlform.bytes_of(parse(f'<Root xmlns="urn:test">{text}</Root>'), most=100)


def test_base64_longer_than_allowed_is_refused_before_decoding() -> None:
    with pytest.raises(XmlFormError) as caught:
        xmlform.bytes_of(parse(f'<Root xmlns="urn:test">{"A" * 100}</Root>'), most=10)
    assert caught.value.code == "value-too-long"


@pytest.mark.parametrize("text", ["", "01", "+1", "-1", "1 ", "4294967296", "99999999999", "٣", "1.0"])
def test_numbers_have_one_form(text: str) -> None:
    with pytest.raises(XmlFormError):
        xmlform.unsigned(text, "Id")


@given(st.integers(0, 2**32 - 1))
def test_every_unsigned_number_reads_back(number: int) -> None:
    assert xmlform.unsigned(str(number), "Id") == number


@given(st.text(), st.binary(max_size=40))
def test_what_is_built_parses_to_the_same_bytes(text: str, value: bytes) -> None:
    try:
        inner = xmlform.build_text(NS, "T", text, {"A": "x"})
    except XmlFormError:
        return
    document = xmlform.canonical(xmlform.build(NS, "Root", inner, xmlform.build_bytes(NS, "B", value)))
    root = xmlform.parse_document(document, namespace=NS, name="Root", limit=10_000)
    fields = Fields(root)
    assert xmlform.text_of(fields.take("T"), ("A",)) == text
    assert xmlform.bytes_of(fields.take("B"), most=40, least=0) == value
    assert xmlform.canonical(root) == document


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_fail_in_another_way(data: bytes) -> None:
    with pytest.raises(XmlFormError):
        xmlform.parse_document(data, namespace=NS, name="Root", limit=1000)


def test_a_foreign_document_may_have_declaration_and_comments_but_no_document_type() -> None:
    xmlform.check_well_formed(b'<?xml version="1.0"?>\n<a><!-- b --></a>', limit=100)
    with pytest.raises(XmlFormError):
        xmlform.check_well_formed(b"<!DOCTYPE a><a/>", limit=100)
    with pytest.raises(XmlFormError):
        xmlform.check_well_formed(b"<a>", limit=100)
