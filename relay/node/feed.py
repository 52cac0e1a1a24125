"""Remembers what one browser was told of a workspace, and what is to be looked at again on behalf of all of them."""

from __future__ import annotations

from relay.node.browser import Browser


class Feed:
    """One browser's view of one workspace: the number it heard last, and what it knows of each machine."""

    def __init__(self, browser: Browser, workspace: str) -> None:
        self.browser = browser
        self.workspace = workspace
        self.seq = 0
        self.known: dict[str, bytes] = {}  # by machine: a digest of what was told
        self.visible: tuple[str, ...] = ()
        self.told_at: dict[str, str] = {}  # last-seen times told of visible rows
        self.owed: set[str] = set()  # machines to compare once the snapshot is out and the outbox has room
        self.begun = False

    def next(self) -> int:
        """The number of the next message."""
        self.seq += 1
        return self.seq


class Watched:
    """One workspace that somebody follows here: what to look at again, and when bands change by themselves."""

    def __init__(self) -> None:
        self.feeds: set[Feed] = set()
        self.dirty: set[str] = set()
        self.next_change_ms: dict[str, int] = {}
        self.looked: dict[str, object] = {}  # by machine: what its presence said when feeds last compared it
        self.read_all_at = 0.0  # monotonic seconds
        # Whether silence proved anything when feeds were told; None: some were told by one measure, some by the other.
        self.settled: bool | None = True
        self.look_at = 0.0  # monotonic seconds: when the first band changes by itself

    def due(self, now: float, batch_seconds: float) -> bool:
        """Whether there is anything to look at. In most seconds most teams have nothing, and each look asks the
        registry whether it changed."""
        if self.dirty or now >= self.look_at or now - self.read_all_at >= batch_seconds or self.settled is None:
            return True
        return any(feed.owed and feed.begun for feed in self.feeds)
