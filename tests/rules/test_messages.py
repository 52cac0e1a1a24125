from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Invalid, TooBig
from relay.rules import limits
from relay.rules import messages as m
from tests.rules.samples import ACME, number

quick = settings(derandomize=True, deadline=None, max_examples=30)
READERS = {"from_agent": m.from_agent, "from_browser": m.from_browser, "to_agent": m.to_agent}
UNIONS = {"from_agent": m.FromAgent, "from_browser": m.FromBrowser, "to_agent": m.ToAgent, "to_browser": m.ToBrowser}
KINDS = sorted({kind for union in UNIONS.values() for kind in get_args(union)}, key=lambda kind: str(kind))

SESSION = m.Session(id=number(5), epoch=7, kind="terminal", title="zsh", started_at=1.5)
HELLO = m.AgentHello(instance=number(1), hostname="mac", version="1", pid=4711, generation=9, sessions=[SESSION])
ATTACH = m.Attach(ref=3, machine=number(1), session=number(5), after=m.After(epoch=7, sequence=41), take=True)


def test_an_agents_hello_survives_the_wire_in_camel_case() -> None:
    text = m.encode(HELLO)
    assert m.from_agent(text) == m.from_agent(text.decode()) == HELLO
    assert b'"startedAt":1.5' in text
    assert b'"type":"hello"' in text


@pytest.mark.parametrize("seconds", ["1e300", "-1"])
def test_a_moment_that_no_calendar_has_is_invalid(seconds: str) -> None:
    text = m.encode(HELLO).replace(b'"startedAt":1.5', f'"startedAt":{seconds}'.encode())
    with pytest.raises(Invalid, match="startedAt"):
        m.from_agent(text)


def test_defaults_are_left_out_and_come_back() -> None:
    assert m.encode(m.Beat()) == b'{"type":"beat"}'
    assert m.from_agent(b'{"type":"beat"}') == m.Beat()


def test_messages_of_each_direction_are_read_by_the_other_side() -> None:
    assert m.from_browser(m.encode(ATTACH)) == ATTACH
    move = m.Move(nodes=["http://a"], within_seconds=10.0)
    assert m.to_agent(m.encode(move)) == move
    result = m.Result(ref=3, result={"session": {"id": number(5)}})
    assert m.to_browser(m.encode(result)) == result


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    assert m.from_agent(b'{"type":"beat","mood":"good"}') == m.Beat()


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
        m.from_agent(deep)


def test_a_browser_is_told_apart_what_is_newer_than_itself() -> None:
    with pytest.raises(msgspec.ValidationError):
        m.to_browser(b'{"type":"launch"}')


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"type": "hello", "instance": number(0xA).upper(), "hostname": "h", "version": "1"}, "instance"),
        ({"type": "hello", "instance": number(1) + "\n", "hostname": "h", "version": "1"}, "instance"),
        ({"type": "hello", "instance": number(1), "hostname": "", "version": "1"}, "hostname"),
        ({"type": "hello", "instance": number(1), "hostname": "h" * 254, "version": "1"}, "hostname"),
        ({"type": "hello", "instance": number(1), "hostname": "h", "version": "1", "pid": -1}, "pid"),
        ({"type": "hello", "instance": number(1), "hostname": "h", "version": "1", "generation": 2**53}, "generation"),
        ({"type": "session", "session": {"id": number(5), "epoch": 2**32, "kind": "terminal"}}, "epoch"),
        ({"type": "session", "session": {"id": number(5), "epoch": 1, "kind": "telnet"}}, "kind"),
        ({"type": "session", "session": {"id": number(5), "epoch": 1, "kind": "exec", "columns": 0}}, "columns"),
        ({"type": "attached", "session": number(5), "attachment": 65_536, "head": 0}, "attachment"),
        ({"type": "attached", "session": number(5), "attachment": 0, "head": 0}, "attachment"),
        ({"type": "attached", "session": number(5), "attachment": 1, "head": True}, "head"),
    ],
)
def test_a_field_out_of_its_bounds_is_invalid_and_named(message: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=rf"\$\.(session\.)?{field}"):
        m.from_agent(msgspec.json.encode(message))


def test_lists_from_a_browser_are_bounded() -> None:
    rows = {"type": "visible", "workspace": ACME, "machines": [number(n) for n in range(limits.VISIBLE_MACHINES + 1)]}
    with pytest.raises(Invalid, match="length"):
        m.from_browser(msgspec.json.encode(rows))


@pytest.mark.parametrize("client", ["short", "x" * 65, "with space", "a/../../b", "a-line-break\n"])
def test_a_client_id_is_a_word_of_bounded_length(client: str) -> None:
    with pytest.raises(Invalid, match="client"):
        m.from_browser(msgspec.json.encode({"type": "hello", "client": client}))


def test_plain_data_is_checked_as_a_message() -> None:
    assert m.checked(m.After, {"epoch": 7, "sequence": 41}) == ATTACH.after
    with pytest.raises(Invalid, match="sequence"):
        m.checked(m.After, {"epoch": 7})


def test_an_answer_to_a_browsers_attach_is_the_agents_answer_with_a_ref() -> None:
    shared = set(m.Attaching.__struct_fields__)
    assert set(m.BrowserAttaching.__struct_fields__) - shared == {"ref", "machine"}


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
            assert reader(m.encode(message)) == message
