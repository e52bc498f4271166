r"""Make a task of real recordings: Debian's prompts for telephones, in up to five languages.

    apt-get install asterisk-core-sounds-{en,es,fr,it,ru}-wav
    python scripts/draw_recordings.py language --out language.jsonl
    savs extract general --test language.jsonl --media-root /usr/share/asterisk/sounds \
        --shots 20 --model Qwen/Qwen2-Audio-7B-Instruct --out language

Tasks are `language`, of all names that the languages have in common, and `digit`, of ten names. No
phrase of `language` and no voice of `digit` is in both splits. The recordings are CC-BY-SA-3.0.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}
QUESTIONS = {
    "language": "Which language is spoken? English, Spanish, French, Italian or Russian?",
    "digit": "Which digit is spoken, from 0 to 9?",
}
DIGITS = {f"digits/{digit}.wav": str(digit) for digit in range(10)}
SILENCE = "silence"
"""Folder of files that nobody speaks in."""


def main() -> None:
    """Write the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=QUESTIONS)
    parser.add_argument("--out", type=Path, required=True, help="the .jsonl file to write")
    parser.add_argument("--sounds", type=Path, default=Path("/usr/share/asterisk/sounds"))
    options = parser.parse_args()
    voices = {
        folder: language
        for code, language in LANGUAGES.items()
        for folder in sorted(options.sounds.glob(f"{code}_*"))
    }
    languages = len(set(voices.values()))
    if languages < 2:
        sys.exit(
            f"{options.sounds} has recordings in {languages} languages, expected two at least;"
            " install asterisk-core-sounds-en-wav and asterisk-core-sounds-es-wav"
        )
    names = sorted(set.intersection(*(set(_names(folder)) for folder in voices)))
    if options.task == "digit":
        names = [name for name in names if name in DIGITS]
    with options.out.open("w", encoding="utf-8") as file:
        for name in names:
            for folder, language in voices.items():
                is_digit = options.task == "digit"
                row = {
                    "audio": f"{folder.name}/{name}",
                    "question": QUESTIONS[options.task],
                    "label": DIGITS[name] if is_digit else language,
                    "group": folder.name if is_digit else name,
                }
                file.write(json.dumps(row) + "\n")
    print(f"{options.out}: {len(names)} names in {len(voices)} voices")


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.wav"):
        if path.parent.name != SILENCE:
            yield path.relative_to(folder).as_posix()


if __name__ == "__main__":
    main()
