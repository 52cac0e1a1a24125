from typing import Any

import msgspec
import pytest

from relay.errors import Invalid
from relay.rules.agent_messages import from_agent
from relay.rules.browser_messages import from_browser
from tests.rules.samples import number


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
        from_agent(msgspec.json.encode(message))


@pytest.mark.parametrize("seconds", ["1e300", "-1"])
def test_a_moment_that_no_calendar_has_is_invalid(seconds: str) -> None:
    session = f'{{"id":"{number(5)}","epoch":1,"kind":"terminal","startedAt":{seconds}}}'
    with pytest.raises(Invalid, match="startedAt"):
        from_agent(f'{{"type":"session","session":{session}}}')


@pytest.mark.parametrize("client", ["short", "x" * 65, "with space", "a/../../b", "a-line-break\n"])
def test_a_client_id_is_a_word_of_bounded_length(client: str) -> None:
    with pytest.raises(Invalid, match="client"):
        from_browser(msgspec.json.encode({"type": "hello", "client": client}))
