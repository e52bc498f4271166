"""A page looked at in a headless Chromium, in a frame of a given width."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

PROBE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe src="{page}" style="border:0;width:{width}px;height:900px"></iframe>
<pre id="found"></pre>
<script>
const frame = document.querySelector("iframe");
function lum(rgb) {{
  const c = rgb.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}}
function back(e) {{
  for (; e; e = e.parentElement) {{
    const color = frame.contentWindow.getComputedStyle(e).backgroundColor;
    if (!color.startsWith("rgba(0, 0, 0, 0")) return color;
  }}
  return "rgb(255, 255, 255)";
}}
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  const words = [...page.body.querySelectorAll("*")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  const contrast = e => {{
    const [a, b] = [lum(frame.contentWindow.getComputedStyle(e).color), lum(back(e))].sort();
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }};
  document.getElementById("found").textContent = JSON.stringify({{
    images: [...page.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt, i.width]),
    scroll_width: root.scrollWidth, width: root.clientWidth,
    wide: [...page.body.querySelectorAll("*")]
      .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1)
      .map(e => e.outerHTML.slice(0, 120)),
    scripts: page.scripts.length, text: page.body.innerText,
    background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    contrast: Math.min(...words.map(contrast)),
    headings: [...page.querySelectorAll("h1, h2, h3")].map(h => h.tagName),
    lang: root.lang, title: page.title,
  }});
}};
</script>
"""


def find_browser() -> str | None:
    """Return the browser's command, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def browser_required() -> bool:
    """Return whether tests shall fail without a browser."""
    return os.environ.get("BROWSER_TESTS") == "required"


def look_at(page: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Open a page and return what a person would meet: its images, its width, its colours."""
    browser = find_browser()
    assert browser is not None, "no chromium or google-chrome is on the PATH"
    probe = page.with_name(f"probe-{width}-{dark}.html")
    probe.write_text(PROBE.format(page=page.as_uri(), width=width), encoding="utf-8")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            "--allow-file-access-from-files",
            f"--user-data-dir={page.with_name('profile')}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            *("--window-size=1600,1000", "--virtual-time-budget=10000", "--dump-dom"),
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))
