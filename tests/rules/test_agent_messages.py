from relay.rules.agent_messages import AgentHello, Beat, Move, from_agent, to_agent
from relay.rules.messages import Session, encode
from tests.rules.samples import number

SESSION = Session(id=number(5), epoch=7, kind="terminal", title="zsh", started_at=1.5)
HELLO = AgentHello(instance=number(1), hostname="mac", version="1", pid=4711, generation=9, sessions=[SESSION])


def test_an_agents_hello_survives_the_wire_in_camel_case() -> None:
    text = encode(HELLO)
    assert from_agent(text) == from_agent(text.decode()) == HELLO
    assert b'"startedAt":1.5' in text
    assert b'"type":"hello"' in text


def test_a_hello_without_sessions_shares_its_empty_list_with_no_other() -> None:
    first, second = (AgentHello(instance=number(n), hostname="mac", version="1") for n in (1, 2))
    first.sessions.append(SESSION)
    assert second.sessions == []


def test_a_beat_with_nothing_new_says_only_that() -> None:
    assert encode(Beat()) == b'{"type":"beat"}'
    assert from_agent(b'{"type":"beat"}') == Beat()


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    assert from_agent(b'{"type":"beat","mood":"good"}') == Beat()


def test_what_a_node_says_is_read_by_the_agent() -> None:
    move = Move(nodes=["http://a"], within_seconds=10.0)
    assert to_agent(encode(move)) == move
