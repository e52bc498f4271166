"""What a person would meet on a page that is open in a browser: images, widths, colours, text."""

from typing import Any

from chrome_session import Tab

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
