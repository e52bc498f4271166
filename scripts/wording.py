"""Find words that make a text hard to read. Prints FILE:LINE: WORD; exits with 1 if there are any.

    python scripts/wording.py

Looks at README, docs, and strings and comments of the code. Part of scripts/lint.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTEAD = {
    r"(?<!left )(?<!lies )\bbehind\b": "after",
    r"\bbeside\b": "next to, with",
    r"\bput to\b": "run on, asked",
    r"\b(is|are) of (another|a|an|one|the)\b": "belongs to, has",
    r"\bis told\b": "gets, is given",
    r"\bof one's own\b": "custom, your own",
    r"\bso many that\b": "enough to",
    r"\bwhere there (is|are)\b": "if there is",
    r"\bgone on with\b": "continued",
    r"\bwhomever\b": "anyone",
}
"""Pattern -> what to write instead."""


def main() -> None:
    """Print what was found."""
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {word[0]!r}, write: {instead}"
        for path in _files()
        for number, text in _texts(path)
        for pattern, instead in INSTEAD.items()
        for word in re.finditer(pattern, text)
    ]
    print("\n".join(lines))
    sys.exit(bool(lines))


def _files() -> Iterator[Path]:
    yield from (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    yield from sorted((ROOT / "docs").rglob("*.md"))
    for room in ("public", "pipeline", "stores", "datasets", "foundation"):
        yield from sorted((ROOT / room).rglob("*.py"))


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line of prose: of a program, strings and comments."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield from enumerate(token.string.splitlines(), token.start[0])


if __name__ == "__main__":
    main()
