"""Shows how a node serves the page: a strict policy, assets that may be kept for ever, and a plain word when absent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from relay.web.page import Page, policy


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A small build."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text('<script type="module" src="/assets/relay-A.js" nonce="{{nonce}}"></script>')
    (assets / "relay-A.js").write_text("plain")
    (assets / "relay-A.js.gz").write_bytes(b"squeezed")
    (assets / "secret.pem").write_text("never")
    return tmp_path


def client(page: Page) -> TestClient:
    """A visitor of a site with nothing but the page."""
    return TestClient(Starlette(routes=page.routes()))


def test_each_answer_has_a_nonce_of_its_own(dist: Path) -> None:
    visitor = client(Page(dist=dist))
    nonces = set()
    for _ in range(2):
        answer = visitor.get("/")
        (nonce,) = re.findall(r"'nonce-([\w-]+)'", answer.headers["content-security-policy"])
        assert f'nonce="{nonce}"' in answer.text
        nonces.add(nonce)
    assert len(nonces) == 2


def test_the_policy_allows_no_inline_script_and_no_framing(dist: Path) -> None:
    headers = client(Page(dist=dist)).get("/").headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert "unsafe-inline" not in rules["style-src"]
    assert rules["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "no-store" in headers["cache-control"]


def test_the_page_may_connect_to_the_nodes_that_live_now(dist: Path) -> None:
    nodes = ["http://127.0.0.1:8000"]
    visitor = client(Page(lambda: nodes, dist))
    nodes.append("https://b.example.org")
    rules = visitor.get("/").headers["content-security-policy"]
    listed = "http://127.0.0.1:8000 ws://127.0.0.1:8000 https://b.example.org wss://b.example.org"
    assert f"connect-src 'self' {listed};" in rules


@pytest.mark.parametrize(
    "origin", ["", "javascript:x", "http://", "http://a; script-src *", "http://a b", "http://u@h"]
)
def test_what_is_no_plain_origin_does_not_get_into_the_policy(origin: str) -> None:
    assert "connect-src 'self'; base-uri" in policy("n", [origin])


def test_assets_are_kept_for_a_year_and_sent_compressed_to_who_can_read_that(dist: Path) -> None:
    visitor = client(Page(dist=dist))
    plain = visitor.get("/assets/relay-A.js", headers={"accept-encoding": "identity"})
    assert plain.text == "plain"
    assert plain.headers["content-type"].startswith("text/javascript")
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["vary"] == "Accept-Encoding"
    with visitor.stream("GET", "/assets/relay-A.js", headers={"accept-encoding": "gzip"}) as squeezed:
        assert squeezed.headers["content-encoding"] == "gzip"
        assert b"".join(squeezed.iter_raw()) == b"squeezed"


@pytest.mark.parametrize("name", ["nothing.js", "secret.pem", "..%2Findex.html", "relay-A.js.gz"])
def test_only_assets_of_the_build_are_served(dist: Path, name: str) -> None:
    assert client(Page(dist=dist)).get(f"/assets/{name}").status_code == 404


def test_a_missing_build_is_said_plainly_and_found_when_it_appears(dist: Path) -> None:
    elsewhere = dist / "later"
    visitor = client(Page(dist=elsewhere))
    answer = visitor.get("/")
    assert answer.status_code == 503
    assert "python deploy/build_ui.py" in answer.text
    elsewhere.mkdir()
    (elsewhere / "assets").mkdir()
    (elsewhere / "index.html").write_text("there")
    assert visitor.get("/").text == "there"
