"""Reads a program's settings from `RELAY_*` variables, once, and says of each that is wrong why it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from relay.errors import Misconfigured
from relay.settings import Settings
from relay.uses import NOWHERE
from relay.variables import PREFIX, content_of, of_a_service, unknown


def load(
    uses: Collection[str] | None = None, *, secret: bool = True, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings of this process; raises `Misconfigured` with one line that names the variable and the reason.

    `uses` are the settings of a program that is no node; all others are as if nobody had set them. `secret` says
    whether RELAY_SECRET must be there, if it is used.
    """
    settings, wrong = read(os.environ if environ is None else environ, uses, secret=secret)
    if settings is None:
        more = f" (and {len(wrong) - 1} more: relay config check lists them)" if len(wrong) > 1 else ""
        raise Misconfigured(wrong[0] + more)
    return settings


def read(
    environ: Mapping[str, str], uses: Collection[str] | None = None, *, secret: bool = True
) -> tuple[Settings | None, list[str]]:
    """The settings, or None and everything that is wrong with them, one sentence each; `uses` as for `load`."""
    used = Settings.model_fields if uses is None else uses
    values, wrong = _values(environ, used)
    wrong += unknown(environ, {variable.name for variable in variables()})
    settings = None
    try:
        unused = {name: value for name, value in NOWHERE.items() if name not in used}
        settings = Settings.model_validate(unused | values, context={"uses": used})
    except ValidationError as error:
        wrong += _sentences(error, environ)
    lacks_secret = secret and "secret" in used and not values.get("secret")
    if lacks_secret and not any(line.startswith("RELAY_SECRET") for line in wrong):
        wrong.append("RELAY_SECRET is not set (or put it into a file and name that in RELAY_SECRET_FILE)")
    return (None, wrong) if wrong else (settings, [])


class Variable(NamedTuple):
    """One line of `relay node --help`."""

    name: str
    default: str
    unit: str
    meaning: str


def variables() -> list[Variable]:
    """Every variable of a node, and beside each secret the one that names a file with it."""
    rows = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = "required" if field.is_required() else str(extra.get("shown", _shown(field.default)))
        variable = variable_of(name)
        unit = str(extra.get("unit", _unit(field.annotation)))
        rows.append(Variable(variable, default, unit, field.description or ""))
        if is_secret(name):
            rows.append(Variable(f"{variable}_FILE", "none", "path", f"file that holds {variable}"))
    return rows


def is_secret(name: str) -> bool:
    """Whether a setting must not be shown, and may stand in a file."""
    extra = Settings.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def _values(environ: Mapping[str, str], used: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """What is set, and what is wrong with where it is set."""
    values: dict[str, Any] = {}
    wrong = []
    for name in (each for each in Settings.model_fields if each in used):
        variable = variable_of(name)
        value = environ.get(variable)
        path = environ.get(f"{variable}_FILE") if is_secret(name) else None
        try:
            if value and path:
                raise Misconfigured(f"{variable} and {variable}_FILE are both set; keep one")
            if path:
                value = content_of(f"{variable}_FILE", path)
        except Misconfigured as error:
            wrong.append(error.message)
            continue
        if value:
            values[name] = value
    return values, wrong


def _sentences(error: ValidationError, environ: Mapping[str, str]) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        message = str(each["msg"]).removeprefix("Value error, ")
        if each["type"] == "default_factory_not_called":
            continue  # it follows from a value that is wrong itself
        if not each["loc"]:
            yield from message.splitlines()
            continue
        variable = variable_of(str(each["loc"][0]))
        if each["type"] == "missing":
            if not environ.get(f"{variable}_FILE"):  # else something was said of the file
                yield f"{variable} is not set (relay node --help lists every variable)"
        elif of_a_service(variable, environ.get(variable, "")):
            yield (
                f"{variable}: Kubernetes set this for a Service; set enableServiceLinks: false for the pod, or "
                f"{variable} yourself"
            )
        else:
            yield f"{variable}: {message[:1].lower()}{message[1:]}"


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return PREFIX + name.upper()


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _unit(annotation: Any) -> str:
    if annotation is bool:
        return "true or false"
    if annotation is int:
        return "number"
    choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return ", ".join(choices) if choices else "text"
