"""Commands a file with all that is known of a cluster and no secret: `relay support bundle`."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import click

from relay.cli.operating import only_errors

LOG_LINES = 2_000  # the last of each log; older ones are rarely what is asked for
LINE_CHARACTERS = 4_000  # of a line, which may be one peer's doing
FILE_MODE = 0o600


@click.command(name="bundle")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--log", "logs", multiple=True, type=click.Path(path_type=Path), help="A log whose end is put in.")
@click.option("--metrics", multiple=True, metavar="URL", help="Where a node or sweeper serves its metrics.")
def command(file: Path | None, logs: tuple[Path, ...], metrics: tuple[str, ...]) -> None:
    """Collect versions, settings, nodes, metrics, and what Redis and the registry say into FILE, a tar.gz.

    Whatever does not answer is said so in its place. Passwords, tokens and secrets are taken out of everything, logs
    included; machine names and people's names in logs are not. Nothing is sent to anybody.
    """
    from relay.registry.new_file import new_file

    place = file or Path(time.strftime("relay-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    only_errors()
    parts = asyncio.run(_collected(logs, metrics))
    with new_file(place) as writing:
        writing.write(_packed(parts))
    click.echo(f"{place}: {', '.join(parts)}")


async def _collected(logs: tuple[Path, ...], metrics: tuple[str, ...]) -> dict[str, str]:
    """Every file of the bundle by its name, without secrets."""
    from relay.cli.support_parts import known_secrets, parts_of_cluster, versions
    from relay.environ import read
    from relay.rules.scrubbing import scrub

    settings, wrong = read(os.environ, secret=False)
    parts = {"versions.json": _json(versions()), "settings.json": _json(_settings(wrong))}
    if settings is not None:
        parts |= {name: _json(found) if name.endswith(".json") else found
                  for name, found in (await parts_of_cluster(settings, metrics)).items()}  # fmt: skip
    known = known_secrets(os.environ)
    for number, log in enumerate(logs, 1):
        parts[f"logs/{number}-{log.name}"] = _end_of(log, known)
    return {name: scrub(text, known) for name, text in parts.items()}


def _settings(wrong: list[str]) -> Any:
    from relay.cli.config_env import effective

    if wrong:
        return {"wrong": wrong}
    return [row._asdict() for row in effective(os.environ)]


def _end_of(log: Path, known: list[str]) -> str:
    """The last lines, such as no terminal is steered by. A line is cut after its secrets are out: else half of one
    might be left."""
    from relay.rules.quoting import escape
    from relay.rules.scrubbing import scrub

    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            lines = deque(file, LOG_LINES)
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"
    return "".join(f"{escape(scrub(line.rstrip(), known))[:LINE_CHARACTERS]}\n" for line in lines)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _packed(parts: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in parts.items():
            data = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"relay-support/{name}")
            entry.size, entry.mode, entry.mtime = len(data), FILE_MODE, int(time.time())
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
