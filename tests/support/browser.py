"""Whether a browser is there that tests can start."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


def find_browser() -> str | None:
    """Return the browser's command, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def browser_required() -> bool:
    """Return whether tests shall fail without a browser."""
    return os.environ.get("BROWSER_TESTS") == "required"


ANSWER_S = 60
"""Longest wait for an answer of the browser."""
WHOLE = "(document.URL == 'about:srcdoc' && document.readyState == 'complete')"
"""Whether a frame has its page: it is empty, at another address, until it is loaded."""

PLACE = """
(async e => {
  if (!e) return null;
  e.scrollIntoView({block: 'center'});
  const before = e.getBoundingClientRect();
  await new Promise(done => setTimeout(done, 50));
  const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
  const still = r.width && before.x == r.x && before.y == r.y && before.width == r.width;
  return still && e.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
})(%s)
"""
"""Where to click an element, if it stands still and nothing lies above it."""


class Tab:
    """One page of the browser, with all that it said and asked for."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session
        self.requests: list[str] = []
        """URLs that the page asked for, its own among them."""
        self.complaints: list[str] = []
        """Errors, warnings and messages of the console; exceptions; violations of the policy."""
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def hear(self, event: dict[str, Any]) -> None:
        """Keep what an event tells."""
        method, told = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(told["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])

    def open(self, page: Path | str, *, width: int = 1280, height: int = 900) -> float:
        """Open a page, or an address, in a window of this size; return the seconds it took."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=False)  # fmt: skip
        started = time.monotonic()
        self("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.run(
            "new Promise(done => document.readyState == 'complete' ? done()"
            " : addEventListener('load', () => done()))"
        )
        return time.monotonic() - started

    def open_with(self, page: Path, script: str) -> None:
        """Open a page until an expression is true: storage is shared among processes in time."""

        def opened() -> Any:
            self.open(page)
            return self.run(script)

        self._soon(opened, script, ANSWER_S)

    def media(self, *, dark: bool = False, kind: str = "screen") -> None:
        """Prefer dark or light colours; `kind` is screen or print."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=kind, features=[feature])

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        found = self(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )  # fmt: skip
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, *, seconds: float = ANSWER_S) -> Any:
        """Return the value of an expression as soon as it is true."""
        return self._soon(lambda: self.run(script), script, seconds)

    def wait_in_frame(self, selector: str, script: str, *, seconds: float = ANSWER_S) -> Any:
        """Return the value of an expression in a frame as soon as it is true; see `in_frame`."""
        return self._soon(lambda: self.in_frame(selector, script), script, seconds)

    def _soon(self, look: Callable[[], Any], what: str, seconds: float) -> Any:
        until = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < until, f"not true within {seconds} s: {what}"
            time.sleep(0.02)
        return found

    def in_frame(self, selector: str, script: str) -> Any:
        """Return the value of an expression in a frame of the page, whatever its origin is.

        None if there is no such frame, or its page is not there as a whole yet.
        """
        script = f"{WHOLE} ? ({script}) : null"
        node = self("DOM.getDocument")["root"]["nodeId"]
        found = self("DOM.querySelector", nodeId=node, selector=selector)["nodeId"]
        if not found:
            return None
        try:
            frame = self("DOM.describeNode", nodeId=found)["node"]["frameId"]
            world = self("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
            told = self(
                "Runtime.evaluate", expression=script, returnByValue=True, contextId=world
            )  # fmt: skip
        except AssertionError:
            return None
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def choose_files(self, selector: str, files: Sequence[Path]) -> None:
        """Give a file input its files, as a person does in the dialog."""
        node = self("DOM.getDocument")["root"]["nodeId"]
        found = self("DOM.querySelector", nodeId=node, selector=selector)["nodeId"]
        assert found, f"no {selector}"
        self("DOM.setFileInputFiles", nodeId=found, files=[str(file.absolute()) for file in files])

    def click(self, script: str, *, until: str = "true") -> None:
        """Click into the middle of the element that an expression returns.

        It is clicked when it stands still and nothing lies above it, as a person does, and again
        while `until` stays false: a page that is still being built forgets a click.
        """
        stop = time.monotonic() + ANSWER_S
        while True:
            x, y = self.wait(PLACE % script)
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self("Input.dispatchMouseEvent", type="mousePressed", **where)
            self("Input.dispatchMouseEvent", type="mouseReleased", **where)
            with contextlib.suppress(AssertionError):
                self.wait(until, seconds=5)
                return
            assert time.monotonic() < stop, f"not true after clicks on {script}: {until}"
            self.run("document.activeElement?.blur()")

    def press(self, key: str, text: str = "") -> None:
        """Press a key, as a person at the keyboard does."""
        codes = {"Tab": 9, "Enter": 13, "End": 35, "ArrowDown": 40, "ArrowUp": 38, " ": 32}
        told = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "text": text}
        self("Input.dispatchKeyEvent", type="keyDown", **told)
        self("Input.dispatchKeyEvent", type="keyUp", **told)

    def screenshot(self, *, whole: bool = False, clip: dict[str, float] | None = None) -> bytes:
        """Return a PNG of the window, of the whole page, or of a part of it."""
        part = {"clip": clip | {"scale": 1}} if clip else {}
        found = self("Page.captureScreenshot", captureBeyondViewport=whole or bool(clip), **part)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self("Page.printToPDF", printBackground=True)["data"])


class Browser:
    """The process, and what it was asked."""

    def __init__(self, profile: Path) -> None:
        command = find_browser()
        assert command is not None, "no chromium or google-chrome is on the PATH"
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out, self._rest = ours_in, ours_out, b""
        self._tabs: dict[str, Tab] = {}
        self._number = 0
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', command,
             *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
             *("--disable-extensions", "--remote-debugging-pipe", "--hide-scrollbars"),
             "--disable-features=IsolateSandboxedIframes",  # a frame is read by its page's session
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)

    def tab(self) -> Tab:
        """Open a tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tabs[session] = Tab(self, session)
        return self._tabs[session]

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a message and return its answer; events that come before are heard."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if answer.get("sessionId") in self._tabs:
                self._tabs[answer["sessionId"]].hear(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], ANSWER_S)
            assert ready, "the browser does not answer"
            part = os.read(self._in, 2**20)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._in)
        os.close(self._out)


@contextlib.contextmanager
def started_browser(profile: Path) -> Iterator[Browser]:
    """Start a browser, and end it with the block."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()


PROBE = r"""
(() => {
  const root = document.documentElement;
  const numbers = color => (color.match(/[\d.]+/g) || []).map(Number);
  const lum = rgb => {
    const c = rgb.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  };
  const back = e => {
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const seen = e => e.checkVisibility() && !e.closest("svg, .unseen, .skip, option, select");
  const words = [...document.body.querySelectorAll("*")].filter(seen)
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  const contrast = e => {
    const both = [lum(numbers(getComputedStyle(e).color)), lum(back(e))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  return {
    images: [...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt, i.width]),
    scroll_width: root.scrollWidth, width: root.clientWidth,
    wide: [...document.body.querySelectorAll("*")]
      .filter(e => !e.closest(".wide") && e.getBoundingClientRect().right > root.clientWidth + 1)
      .map(e => e.outerHTML.slice(0, 120)),
    scripts: document.scripts.length, text: document.body.innerText,
    background: numbers(getComputedStyle(document.body).backgroundColor),
    contrast: Math.min(...words.map(contrast)),
    faint: words.filter(e => contrast(e) < 4.5).map(e => e.outerHTML.slice(0, 120)).slice(0, 5),
    headings: [...document.querySelectorAll("h1, h2, h3")].map(h => h.tagName),
    lang: root.lang, title: document.title,
  };
})()
"""
"""Its `faint` texts are those with less contrast than WCAG AA asks for, 4.5."""


def look(tab: Tab) -> dict[str, Any]:
    """Return what `PROBE` finds on the page that is open in a tab."""
    return tab.run(PROBE)
