"""Runs HAProxy, nginx and Caddy with the configurations that operators are given, on ports and paths of a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cluster import LOOK_SECONDS, START_SECONDS, STOP_SECONDS

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "proxies"
NAMES = ("haproxy", "nginx", "caddy")
CERTIFICATE_DAYS = "2"
PATIENT_SECONDS = 30  # for a check's answer: a node that is only busy is none that is ill, and here much else runs
FEW = 500  # sockets are enough here, where files that may be open are few
NODES = tuple(f"10.0.0.1{number}:8000" for number in (1, 2, 3))  # as the files name them


class Ground(NamedTuple):
    """Where a proxy of a test stands: its folder, its certificate, its two ports, and the nodes behind it."""

    folder: Path
    pem: Path
    http: int
    https: int
    nodes: Sequence[str]


def program(name: str) -> str:
    """The proxy's own program; a test that needs it is skipped where there is none, and fails there if `CI=true`."""
    beside = Path(sys.executable).with_name(name)  # Caddy comes from a wheel
    found = str(beside) if beside.exists() else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        reason = (
            f"{name} is not installed: tests/run does that, from Debian (haproxy, nginx, openssl) and PyPI (the others)"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def certificate(folder: Path) -> Path:
    """A certificate for this computer with its key in one file, signed by itself, so that it vouches for itself too."""
    both = folder / "relay.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", CERTIFICATE_DAYS)
    command = [program("openssl"), "req", "-x509", *kind, *subject, "-keyout", str(both), "-out", f"{both}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    with both.open("a") as file:
        file.write(Path(f"{both}.crt").read_text())
    return both


def source(name: str) -> Path:
    """The committed configuration."""
    return CONFIGURATIONS / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "caddy": "Caddyfile"}[name]


def rendered(name: str, ground: Ground, changes: Mapping[str, str]) -> Path:
    """The committed configuration with the test's ports and paths in place of production's, and these changes; what is
    changed is there exactly once."""
    file = source(name)
    text = file.read_text()
    for old, new in (*_places(name, ground).items(), *changes.items()):
        assert text.count(old) == 1, f"{file.name} has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    written = ground.folder / file.name
    written.write_text(text)
    return written


def _places(name: str, ground: Ground) -> Mapping[str, str]:
    folder, pem = ground.folder, ground.pem
    first, second, _third = NODES
    here = dict(zip((first, second), ground.nodes, strict=True))
    match name:
        case "haproxy":
            return here | {
                "    server node-3 10.0.0.13:8000\n": "",
                "    user haproxy\n    group haproxy\n    log /dev/log local0\n": f"    log {folder}/log.sock local0\n",
                "maxconn 50000": f"maxconn {FEW}",
                "timeout check 3s": f"timeout check {PATIENT_SECONDS}s",
                "/run/haproxy/admin.sock": f"{folder}/admin.sock",
                "bind :80\n": f"bind 127.0.0.1:{ground.http}\n",
                "bind :443 ssl crt /etc/haproxy/relay.pem": f"bind 127.0.0.1:{ground.https} ssl crt {pem}",
            }
        case "nginx":
            kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            return here | {
                "        server 10.0.0.13:8000 max_fails=1 fail_timeout=2s;\n": "",
                "user www-data;\n": "",
                "worker_rlimit_nofile 65536;\n": "",
                "worker_connections 32768;": f"worker_connections {FEW};",
                "/run/nginx.pid": f"{folder}/nginx.pid",
                "/var/log/nginx/error.log": f"{folder}/error.log",
                "/var/log/nginx/access.log": f"{folder}/access.log",
                "    server_tokens off;\n": "".join(f"    {each}_temp_path {folder}/{each};\n" for each in kept),
                "listen 80;": f"listen 127.0.0.1:{ground.http};",
                "listen 443 ssl;": f"listen 127.0.0.1:{ground.https} ssl;",
                "/etc/nginx/relay.crt": str(pem),
                "/etc/nginx/relay.key": str(pem),
            }
        case _:
            return here | {
                " 10.0.0.13:8000": "",
                "health_timeout 3s": f"health_timeout {PATIENT_SECONDS}s",
                "unix//run/caddy/admin.sock\n": f"unix/{folder}/admin.sock\n\thttp_port {ground.http}\n",
                "relay.example.com {\n": f"https://127.0.0.1:{ground.https} {{\n\ttls {pem} {pem}\n",
            }


def _command(name: str, configuration: Path) -> list[str]:
    match name:
        case "haproxy":
            return [program(name), "-db", "-f", str(configuration)]
        case "nginx":
            return [program(name), "-p", str(configuration.parent), "-c", str(configuration), "-g", "daemon off;"]
        case _:
            return [program(name), "run", "--adapter", "caddyfile", "--config", str(configuration)]


class Proxy:
    """One proxy that runs before two nodes, with `changes` to what is committed."""

    def __init__(self, name: str, ground: Ground, changes: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.url = f"https://127.0.0.1:{ground.https}"
        self.plain_url = f"http://127.0.0.1:{ground.http}"
        self.authority = ground.pem
        self.tls = ssl.create_default_context(cafile=str(self.authority))
        self._log = ground.folder / f"{name}.log"
        folders = {name: str(ground.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(name, rendered(name, ground, changes or {})),
                env=os.environ | folders,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it brings somebody to a node that is ready."""
        give_up = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{self.url}/readyz", timeout=1, context=self.tls).close()
                return
            assert self._process.poll() is None, f"{self.name} ended:\n{self._log.read_text()}"
            assert time.monotonic() < give_up, f"{self.name} brings nobody anywhere:\n{self._log.read_text()}"
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End it and whatever it started."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running_proxies(folder: Path, ports: Sequence[int], nodes: Sequence[str]) -> Iterator[dict[str, Proxy]]:
    """All three before the same nodes, each with two of the ports; by name."""
    proxies: dict[str, Proxy] = {}
    pem = certificate(folder)
    try:
        for place, name in enumerate(NAMES):
            own = folder / name
            own.mkdir()
            proxies[name] = Proxy(name, Ground(own, pem, ports[2 * place], ports[2 * place + 1], nodes))
        for proxy in proxies.values():
            proxy.wait_ready()
        yield proxies
    finally:
        for proxy in proxies.values():
            proxy.stop()
