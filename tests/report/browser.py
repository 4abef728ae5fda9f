"""A real browser without a window, driven through chromedriver's WebDriver protocol; leaves nothing behind."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import requests

from patchctl.smoke.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the WebDriver standard gives to elements
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the value of one command; an error of the browser is raised with its words."""
        where = f"{self._session}/{path}"
        reply = requests.get(where, timeout=60) if body is None else requests.post(where, json=body, timeout=60)
        value = reply.json()["value"]
        assert reply.status_code == 200, value
        return value

    def open(self, path: Path) -> None:
        self.call("url", {"url": path.as_uri()})

    def run(self, script: str, *words: Any) -> Any:
        """Return what a piece of JavaScript returns."""
        return self.call("execute/sync", {"script": script, "args": list(words)})

    def roles(self, selector: str) -> set[str]:
        """Return what the elements are to somebody who hears the page."""
        found = self.call("elements", {"using": "css selector", "value": selector})
        return {self.call(f"element/{one[ELEMENT]}/computedrole") for one in found}

    def click(self, selector: str) -> None:
        """Click as a person does: the element must be in view and not covered."""
        found = self.call("element", {"using": "css selector", "value": selector})
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        self.call(f"element/{found[ELEMENT]}/click", {})

    def narrow(self, width: int, height: int) -> None:
        """Make the page as wide as on a telephone; a window cannot be that narrow, its contents can."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.call("goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def prefer(self, scheme: str) -> None:
        """Say which colours the person likes, as the system would."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})

    def shot(self, path: Path) -> bytes:
        """Take a picture, keep it and return it."""
        picture = base64.b64decode(self.call("screenshot"))
        path.write_bytes(picture)
        return picture

    def errors(self) -> list[str]:
        """Return what the browser complained about: errors, refused requests, a broken policy."""
        return [entry["message"] for entry in self.call("se/log", {"type": "browser"})]


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Start the browser with a new profile and end it and all its processes on leaving."""
    assert CHROMIUM is not None
    assert DRIVER is not None
    port = free_port()
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}", "--log-level=OFF"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        session = _session(f"http://127.0.0.1:{port}/session", profile)
        yield Browser(session)
        requests.delete(session, timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def _session(url: str, profile: Path) -> str:
    options = {"binary": CHROMIUM, "args": [*QUIET, f"--user-data-dir={profile}", "--window-size=1200,1000"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    deadline = time.monotonic() + 30
    while True:
        try:
            reply = requests.post(url, json={"capabilities": {"alwaysMatch": wanted}}, timeout=60)
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "chromedriver does not answer"
            time.sleep(0.05)
            continue
        value = reply.json()["value"]
        assert reply.status_code == 200, value
        return f"{url}/{value['sessionId']}"
