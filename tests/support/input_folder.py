"""Input files that tests write: images of noise, and rows about them."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Inputs:
    """A folder of images and JSON Lines files that a test fills."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, name: str, seed: int = 0, size: tuple[int, int] = (40, 56)) -> str:
        """Save an image of noise and return its name."""
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return name

    def rows(self, name: str, rows: list[dict[str, Any]]) -> Path:
        """Write rows as JSON Lines and return the path."""
        path = self.root / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def few_shots(self, train: int = 6, test: int = 5) -> tuple[Path, Path]:
        """Write a two-class train and test file with their images; return the paths."""
        files = []
        for split, count, shift in (("train", train, 0), ("test", test, 100)):
            rows = [
                {
                    "image": self.image(f"images/{split}{i}.png", i + shift),
                    "question": f"What is it{'?' * (i % 3 + 1)}",
                    "label": "ab"[i % 2],
                }
                for i in range(count)
            ]
            files.append(self.rows(f"{split}.jsonl", rows))
        return files[0], files[1]


RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
)
SIDE = 16


def halves(left: Any, right: Any, mode: str = "RGB") -> Image.Image:
    """An image whose left half has one colour, its right half another."""
    image = Image.new(mode, (2 * SIDE, SIDE), left)
    image.paste(right, (SIDE, 0, 2 * SIDE, SIDE))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def palette(*colors: tuple[int, int, int]) -> Image.Image:
    image = halves(0, 1, "P")
    image.putpalette([value for color in colors for value in color])
    return image


def grey16(big_endian: bool = False) -> Image.Image:
    values = np.array([[0x2000] * SIDE + [0xE0FF] * SIDE] * SIDE, ">u2" if big_endian else "<u2")
    return Image.fromarray(values)


def pgm16() -> bytes:
    """A portable greymap of two pixels with 16 bits, 0x2000 and 0xE0FF, highest byte first."""
    return b"P5 2 1 65535\n" + bytes.fromhex("2000e0ff")


def ppm16() -> bytes:
    """A portable pixmap of two pixels with 16 bits a channel: red and blue."""
    return b"P6 2 1 65535\n" + bytes.fromhex("ffff00000000" + "00000000ffff")


def png(width: int, height: int, color_type: int, depth: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG, chunk by chunk (PNG specification, 11.2)."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [b"IHDR" + header, *more, b"IDAT" + zlib.compress(rows), b"IEND"]
    body = b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def frames(kind: str, first: Image.Image, **options: Any) -> bytes:
    later = [Image.new(first.mode, first.size) for _ in range(3)]
    return saved(first, kind, save_all=True, append_images=later, **options)


def clear_gif() -> bytes:
    return saved(palette(RED, BLUE), "GIF", transparency=1)


def small_first_frame() -> bytes:
    """A GIF whose canvas is 2 x 1, and whose first frame covers the left pixel alone."""
    colors = bytes((*RED, *BLUE))
    # canvas 2 x 1, table of 2 colours; graphic control: colour 1 is clear; frame at 0, 0 of 1 x 1
    # LZW with codes of 3 bits, lowest bit first: clear (4), 0, end (5): 100, 000, 101 -> 0x44 0x01
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 2, 1, 0x80, 1, 0)
        + colors
        + b"\x21\xf9\x04\x01\x0a\x00\x01\x00"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\x00\x3b"
    )
