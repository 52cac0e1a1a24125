from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Invalid, TooBig
from relay.rules import limits
from relay.rules.agent_messages import FromAgent, ToAgent, from_agent, to_agent
from relay.rules.browser_messages import FromBrowser, ToBrowser, from_browser
from relay.rules.messages import After, ErrorMessage, Message, Take, checked, encode
from tests.rules.samples import number

quick = settings(derandomize=True, deadline=None, max_examples=30)
READERS = {"from_agent": from_agent, "from_browser": from_browser, "to_agent": to_agent}
UNIONS = {"from_agent": FromAgent, "from_browser": FromBrowser, "to_agent": ToAgent, "to_browser": ToBrowser}
KINDS: list[type[Message]] = sorted({kind for union in UNIONS.values() for kind in get_args(union)}, key=str)


def test_defaults_are_left_out_and_come_back() -> None:
    error = ErrorMessage(code="invalid", message="no")
    assert encode(error) == b'{"type":"error","code":"invalid","message":"no"}'
    assert to_agent(encode(error)) == error


def test_a_message_that_both_kinds_of_peer_use_reads_the_same_for_both() -> None:
    take = Take(session=number(5), attachment=1)
    assert from_browser(encode(take)) == to_agent(encode(take)) == take


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"hello"',
        b"\xff",
        b'{"type":"launch"}',
        b'{"type":7}',
        b"{}",
        b'{"type":"hello"}',
        b'{"type":"attach","ref":"1"}',
        b'{"type":"hello","hostname":"\\ud800"}',
        "\ud800",
    ],
)
def test_what_is_no_message_is_invalid(text: bytes | str) -> None:
    for reader in READERS.values():
        with pytest.raises(Invalid):
            reader(text)


def test_a_message_above_the_limit_is_too_big_before_it_is_read() -> None:
    for reader in READERS.values():
        with pytest.raises(TooBig) as caught:
            reader(b"{" * (limits.CONTROL_BYTES + 1))
        assert caught.value.extra == {"limit": "CONTROL_BYTES"}


def test_brackets_without_end_are_invalid_and_break_nothing() -> None:
    deep = b'{"type":"answer","ref":1,"result":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}"
    with pytest.raises(Invalid, match="nested too deeply"):
        from_agent(deep)


def test_plain_data_is_checked_as_a_message() -> None:
    assert checked(After, {"epoch": 7, "sequence": 41}) == After(epoch=7, sequence=41)
    with pytest.raises(Invalid, match="sequence"):
        checked(After, {"epoch": 7})


def test_every_message_has_a_type_and_says_in_a_sentence_what_it_is() -> None:
    for kind in KINDS:
        assert kind.__doc__, kind
        assert kind.__doc__.rstrip().endswith("."), kind
        assert kind.__struct_config__.tag_field == "type", kind
        assert str(kind.__struct_config__.tag).islower(), kind


def test_no_two_messages_of_one_direction_share_a_type() -> None:
    for union in UNIONS.values():
        tags = [kind.__struct_config__.tag for kind in get_args(union)]
        assert len(tags) == len(set(tags))


@quick
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_message_or_invalid(data: bytes) -> None:
    for reader in READERS.values():
        for text in (data, b'{"type":"beat","hostname":"' + data + b'"}'):
            try:
                message = reader(text)
            except Invalid:
                continue
            assert reader(encode(message)) == message
