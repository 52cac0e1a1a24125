import pytest

from relay.errors import Invalid
from relay.rules import ids

ID = "8f23c1d2-1a2b-4c3d-8e4f-001122334455"


def test_an_id_survives_the_way_through_a_frame_header() -> None:
    assert ids.text(ids.raw(ID)) == ID
    assert len(ids.raw(ID)) == ids.RAW_BYTES


def test_a_made_id_is_a_version_4_uuid() -> None:
    assert ids.make(bytes(16)) == "00000000-0000-4000-8000-000000000000"
    assert ids.make(b"\xff" * 16) == "ffffffff-ffff-4fff-bfff-ffffffffffff"


@pytest.mark.parametrize("text", ["", "8f23", ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"{ID}\n", f" {ID}"])
def test_only_canonical_text_becomes_raw_bytes(text: str) -> None:
    with pytest.raises(Invalid, match="8-4-4-4-12"):
        ids.raw(text)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_only_sixteen_bytes_become_an_id(length: int) -> None:
    with pytest.raises(Invalid, match=f"this one has {length}"):
        ids.text(bytes(length))


def test_people_may_write_an_id_in_any_case_but_not_in_another_form() -> None:
    assert ids.canonical(ID.upper()) == ID
    assert ids.canonical(ID.replace("-", "")) is None
    assert ids.canonical(f"{ID}\n") is None


@pytest.mark.parametrize("text", ["8f23", "8f23c1d2", "8f23c1d2-", "8f23c1d2-1a2b-4", ID])
def test_four_hex_digits_and_more_may_begin_an_id(text: str) -> None:
    assert ids.is_prefix(text)


@pytest.mark.parametrize("text", ["", "8f2", "8f2g", "8f23-", "8f23c1d21", "8f23c1d2--", "8F23", f"{ID}0", "८८८८"])
def test_other_texts_begin_no_id(text: str) -> None:
    assert not ids.is_prefix(text)


def test_a_short_id_is_as_long_as_it_takes_to_be_the_only_one() -> None:
    near, far = "8f23c1d2-1a2b-4c3d-8e4f-001122334456", "a1420000-1a2b-4c3d-8e4f-001122334455"
    assert ids.shorten([ID, far], [ID, far]) == {ID: "8f23", far: "a142"}
    assert ids.shorten([ID], [ID, near, far]) == {ID: ID}
    assert ids.shorten([ID], ["8f23c000-1a2b-4c3d-8e4f-001122334455", far]) == {ID: "8f23c1"}
    assert ids.shorten([ID, near], []) == {ID: ID, near: near}
