"""Shows the full-screen machine picker and returns the machine that was chosen."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input

from relay.cli.listing import COLUMNS, fetch, row
from relay.cli.place import Place
from relay.errors import Invalid, RelayError
from relay.rules import ids, resolver
from relay.rules.quoting import escape

REFRESH_SECONDS = 5.0  # the list is asked for again while the picker is open


class Picker(App[dict[str, Any]]):
    """A search line over a table of machines; Enter chooses, Escape leaves."""

    CSS = "DataTable { height: 1fr; } .offline { color: $text-muted; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "quit", "leave"),
        Binding("enter", "choose", "connect", priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("down", "move(1)", "down", show=False, priority=True),
    ]

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._machines: list[dict[str, Any]] = []
        self._now = ""
        self._shown: list[dict[str, Any]] = []

    def compose(self) -> ComposeResult:
        """The search line, the table, and the keys."""
        yield Input(placeholder="name, hostname or id")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer()

    async def on_mount(self) -> None:
        """Fill the table, and again every few seconds."""
        self.table.add_columns(*COLUMNS)
        self.query_one(Input).focus()
        await self._refresh()
        self.set_interval(REFRESH_SECONDS, self._refresh)

    @property
    def table(self) -> DataTable[Text]:
        """The table of machines."""
        return self.query_one(DataTable)

    def on_input_changed(self) -> None:
        """Show what matches."""
        self._fill()

    def action_move(self, rows: int) -> None:
        """Move the cursor while the search line keeps the keyboard."""
        self.table.move_cursor(row=self.table.cursor_row + rows)

    def action_choose(self) -> None:
        """Leave with the machine under the cursor."""
        if self._shown:
            self.exit(self._shown[self.table.cursor_row])

    async def _refresh(self) -> None:
        try:
            self._machines, self._now = await asyncio.to_thread(fetch, self._place)
        except RelayError as error:
            self.notify(escape(error.message), severity="warning", markup=False)
        self._fill()

    def _fill(self) -> None:
        chosen = self._shown[self.table.cursor_row]["id"] if self._shown else None
        query = self.query_one(Input).value
        self._shown = [machine for machine in self._machines if matching(query, machine)]
        short = ids.shorten([each["id"] for each in self._shown], [each["id"] for each in self._machines])
        self.table.clear()
        for machine in self._shown:
            # As text, or brackets in somebody's label would be read as colours, or as a mistake that ends the picker.
            self.table.add_row(*(Text(escape(cell)) for cell in row(machine, short[machine["id"]], self._now)))
        for index, machine in enumerate(self._shown):
            if machine["id"] == chosen:
                self.table.move_cursor(row=index)


def matching(query: str, machine: dict[str, Any]) -> bool:
    """Whether the picker shows a machine for what is typed: the resolver's rules, and everything for too little."""
    if len(query.strip()) < resolver.FUZZY_CHARACTERS:
        return query.strip().casefold() in machine["name"].casefold()
    candidate = resolver.Candidate(
        id=machine["id"],
        name=machine["name"],
        hostname=machine["hostname"],
        name_held=not machine.get("shadowedBy"),
    )
    try:
        return resolver.matches(query, candidate)
    except Invalid:
        return False


def pick(place: Place) -> dict[str, Any] | None:
    """The machine that the person chose, or None if they left."""
    return Picker(place).run()
