"""Writes what people typed into messages, so that no terminal or log is steered by it."""

from __future__ import annotations


def escape(text: str) -> str:
    """The text with every unprintable character, such as a bidirectional override, written as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(seen if seen.isprintable() else seen.encode("unicode_escape").decode("ascii") for seen in text)


def escape_lines(text: str) -> str:
    """The same for a text of several lines, such as a traceback: its line ends are left, and all lines but the first
    begin with a space, so that none of them looks like an entry of its own in a log."""
    return "\n ".join(map(escape, text.split("\n")))


def quote(text: str) -> str:
    """The escaped text between double quotes, with its own quotes and backslashes marked."""
    marked = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escape(marked)}"'
