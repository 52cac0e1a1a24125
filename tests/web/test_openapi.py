"""Holds the OpenAPI document against the running server, with generated requests, good ones and bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from starlette.routing import Route

from relay.errors import RelayError
from relay.web.openapi import openapi
from relay.web.site import CALLS
from tests.support.valkey import Valkey
from tests.web.served import Served, serve
from tests.web.site import Site

EXAMPLES = 4  # per call and direction: the document has about forty calls, and generating is slow
DOCUMENT = openapi(CALLS, "http://relay.test")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}
# What a schema cannot say, such as that a name is not another machine's, may be refused; that codes and shapes of
# refusals are as documented is checked by the others.
UNCHECKED = {"positive_data_acceptance", "ignored_auth"}
ENDS_THE_TOKEN = "POST /api/sign-out"


def asked() -> Iterator[tuple[str, schemathesis.GenerationMode]]:
    """Every call with good requests, and with bad ones where there is something that could be bad."""
    for label, operation in OPERATIONS.items():
        yield label, schemathesis.GenerationMode.POSITIVE
        definition = DOCUMENT["paths"][operation.path][operation.method.lower()]
        if definition["parameters"] or "requestBody" in definition:
            yield label, schemathesis.GenerationMode.NEGATIVE


@pytest.fixture(scope="module")
def served(_valkey: Valkey) -> Iterator[Served]:
    """One site for all generated requests."""
    _valkey.empty()
    with serve(_valkey) as found:
        yield found


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_the_document_lists_what_the_router_serves_and_nothing_else(site: Site) -> None:
    served = {route.path for route in site.app.routes if isinstance(route, Route)}
    assert served == {*DOCUMENT["paths"], "/api/openapi.json", "/api/asyncapi.json"}


def test_every_call_has_one_sentence_and_a_name_of_its_own() -> None:
    names = [call.name for call in CALLS]
    assert len(set(names)) == len(names)
    for call in CALLS:
        assert call.does.endswith("."), call.name
        assert call.does[0].isupper(), call.name


def test_every_error_that_a_call_lists_is_documented_with_its_code() -> None:
    for call in CALLS:
        responses = DOCUMENT["paths"][call.path][call.method.lower()]["responses"]
        for error in call.all_errors():
            schema = responses[str(error.status)]["content"]["application/problem+json"]["schema"]
            assert error.code in schema["allOf"][1]["properties"]["code"]["enum"]
            assert error.code in DOCUMENT["components"]["responses"]


def test_shapes_have_names_of_their_own() -> None:
    """Two classes of one name would be one schema, and one of them wrong."""
    kinds = {kind for call in CALLS for kind in (call.answer, call.body) if kind is not None}
    assert len({kind.__name__ for kind in kinds}) == len(kinds)


async def test_the_documents_are_served_to_everybody(site: Site) -> None:
    async with site.client() as client:
        document = await client.get("/api/openapi.json")
        other = await client.get("/api/asyncapi.json")
    assert document.json() == DOCUMENT
    assert other.json()["asyncapi"] == "3.0.0"
    assert RelayError.code in document.json()["components"]["responses"]


@pytest.mark.parametrize(("label", "mode"), list(asked()), ids=str)
def test_generated_requests_get_documented_answers(
    served: Served, label: str, mode: schemathesis.GenerationMode
) -> None:
    operation = OPERATIONS[label]
    real = {
        "workspace": served.machine["workspaceId"],
        "machine": served.machine["id"],
        "user": served.owner.id,
    }
    checks: list[Any] = [check for check in CHECKS.get_all() if check.__name__ not in UNCHECKED]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        if mode is schemathesis.GenerationMode.POSITIVE and case.method != "DELETE":
            case.path_parameters.update({name: real[name] for name in case.path_parameters if name in real})
            case.query.update({name: real[name] for name in case.query if name in real})
        token = served.owner.token if label != ENDS_THE_TOKEN else "rly_pat_none"
        response = case.call(base_url=served.url, session=session, headers={"authorization": f"Bearer {token}"})
        case.validate_response(response, checks=checks)

    with requests.Session() as session:
        ask()
