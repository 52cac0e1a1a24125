import msgspec
import pytest

from relay.errors import Invalid
from relay.rules import limits
from relay.rules.browser_messages import Attach, BrowserAttaching, Result, from_browser, to_browser
from relay.rules.messages import After, Attaching, encode
from tests.rules.samples import ACME, number

ATTACH = Attach(ref=3, machine=number(1), session=number(5), after=After(epoch=7, sequence=41), take=True)


def test_messages_of_each_direction_are_read_by_the_other_side() -> None:
    assert from_browser(encode(ATTACH)) == ATTACH
    result = Result(ref=3, result={"session": {"id": number(5)}})
    assert to_browser(encode(result)) == result


def test_a_browser_is_told_apart_what_is_newer_than_itself() -> None:
    with pytest.raises(msgspec.ValidationError):
        to_browser(b'{"type":"launch"}')


def test_lists_from_a_browser_are_bounded() -> None:
    rows = {"type": "visible", "workspace": ACME, "machines": [number(n) for n in range(limits.VISIBLE_MACHINES + 1)]}
    with pytest.raises(Invalid, match="length"):
        from_browser(msgspec.json.encode(rows))


def test_an_answer_to_a_browsers_attach_is_the_agents_answer_with_a_ref() -> None:
    shared = set(Attaching.__struct_fields__)
    assert set(BrowserAttaching.__struct_fields__) - shared == {"ref", "machine"}
