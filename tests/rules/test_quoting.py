import pytest

from relay.rules.quoting import escape, escape_lines, quote


def test_plain_words_stay_as_they_are() -> None:
    assert escape("prod-api-1") == "prod-api-1"
    assert escape("Jörgs Büro 机器") == "Jörgs Büro 机器"
    assert quote("prod api") == '"prod api"'


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb", r"a\nb"),
        ("a\u202eb", r"a\u202eb"),  # would turn the rest of the line around
        ("a\u200bb", r"a\u200bb"),  # has no width: two names would look the same
        ("a\ud800b", r"a\ud800b"),  # half of a pair cannot be sent as UTF-8
        ("é\u2028", r"é\u2028"),
    ],
)
def test_what_would_steer_a_terminal_is_written_as_its_escape(odd: str, shown: str) -> None:
    assert escape(odd) == shown
    assert quote(odd).encode() == f'"{shown}"'.encode()


def test_a_text_of_several_lines_keeps_them_and_begins_none_in_an_entrys_place() -> None:
    assert escape_lines("Traceback:\nroot: \x1b[1mfaked") == "Traceback:\n root: \\x1b[1mfaked"


def test_a_quote_inside_does_not_end_the_quotation() -> None:
    assert quote('a"b\\') == r'"a\"b\\"'
