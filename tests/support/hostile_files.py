"""Small files that stand for very much: pixels, frames, text."""

import io
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from clips import encode, plain
from input_folder import png, saved
from PIL import Image


def tall_png(rows: int) -> bytes:
    """Return a PNG that is one pixel wide."""
    return png(1, rows, 0, 8, b"\0\0" * rows)


def plain_webp(width: int, height: int) -> bytes:
    """Return a lossless WebP of one colour, written bit by bit: encoding one takes gigabytes."""
    bits = _Bits()
    for value, count in (
        *((width - 1, 14), (height - 1, 14), (0, 1), (0, 3)),  # size, no alpha, version
        *((0, 1), (0, 1), (0, 1)),  # no transform, no colour cache, no meta codes
        *(pair for _ in range(5) for pair in ((1, 1), (0, 1), (0, 1), (0, 1))),  # codes of symbol 0
    ):
        bits.write(value, count)
    content = b"\x2f" + bits.to_bytes()
    content += b"\0" * (len(content) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


class _Bits:
    """Bits in the order of WebP: the lowest first."""

    def __init__(self) -> None:
        self._value, self._count = 0, 0

    def write(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count

    def to_bytes(self) -> bytes:
        return self._value.to_bytes((self._count + 7) // 8, "little")


def repeated_mp4(samples: int, chunks: int) -> bytes:
    """Return a clip whose tables name the same bytes again and again, as samples of one byte."""
    each = samples // chunks
    data = encode("mp4", [plain((216, 40, 40))])
    start = data.index(b"mdat") + 4
    tables = {
        b"stts": struct.pack(">IIII", 0, 1, each * chunks, 512),
        b"stsz": struct.pack(">III", 0, 1, each * chunks),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, each, 1),
        b"stco": struct.pack(f">II{chunks}I", 0, chunks, *[start] * chunks),
    }
    return _with_tables(data, tables)


def replayed_mp4(data: bytes, times: int) -> bytes:
    """Return a clip whose edit list shows the first 100 s of it again and again."""
    entry = struct.pack(">IiI", 100_000, 0, 0x10000)  # milliseconds, from the start, at its speed
    table = struct.pack(">II", 0, times) + times * entry
    return _with_tables(data, {b"elst": table}, dropped=())


_OUTER = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_DROPPED = (b"ctts", b"stss", b"sgpd", b"sbgp", b"edts")


def _with_tables(
    data: bytes, tables: Mapping[bytes, bytes], dropped: Sequence[bytes] = _DROPPED
) -> bytes:
    """Return an MP4 with other tables; they stand after the samples, so no offset changes."""
    offset, made = 0, b""
    while offset < len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        content = data[offset + 8 : offset + size]
        if kind in _OUTER:
            content = _with_tables(content, tables, dropped)
        content = tables.get(kind, content)
        if kind not in dropped:
            made += struct.pack(">I", 8 + len(content)) + kind + content
        offset += size
    return made


def repeated_prompts(path: Path, length: int, rows: int) -> Path:
    """Write a Parquet file whose rows have one long prompt, which is stored once."""
    one = pl.DataFrame({"image": "1.png", "question": "x" * length, "label": "a"})
    frame = one[[0] * rows]  # rows share their text
    frame.write_parquet(path, compression="zstd", row_group_size=20)
    return path


class Touch:
    """What unpickles by running a shell command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def pickled(canary: Path) -> bytes:
    """Return a pickle that touches the canary when it is loaded."""
    return pickle.dumps(Touch(canary))


def python(canary: Path) -> str:
    """Return Python code that touches the canary, and is a readout, a benchmark and model code."""
    return (
        f"import os\nos.system('touch {canary}')\nREADOUT = BENCHMARK = None\n"
        "def find_heads(model): return []\n"
    )


def template(canary: Path) -> str:
    """Return a Jinja template that touches the canary where it is not kept in a sandbox."""
    return f"{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}"


def object_arrays(canary: Path) -> bytes:
    """Return an .npz with an array of pickled objects."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, x=np.array([Touch(canary)], dtype=object))
    return file.getvalue()


def zipped(canary: Path) -> bytes:
    """Return a zip like one of `torch.save`: a pickle, and a name that leads out of its folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(canary))
        archive.writestr(f"../{canary.name}", b"")
    return file.getvalue()


def extended_table(canary: Path, name: str, rows: pl.DataFrame) -> bytes:
    """Return Parquet with a column of an extension type whose readers unpickle, or trust it."""

    class Extended(pl.BaseExtension):
        def __init__(self) -> None:
            super().__init__(name, pl.Binary, pickled(canary).decode("latin1"))

    column = pl.Series("payload", [pickled(canary)] * rows.height).ext.to(Extended())
    file = io.BytesIO()
    rows.with_columns(column).write_parquet(file)
    return file.getvalue()


def media(canary: Path) -> dict[str, bytes]:
    """Return files named as media that are programs, or name other files and addresses."""
    touch, secret = f"touch {canary}", canary.with_name("secret")
    return {
        "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>',
        "a.png": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]><svg>&e;</svg>'.encode(),
        "a.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
        + f"(%pipe%{touch}) (w) file\n".encode(),
        "b.jpg": f"%!PS\n(%pipe%{touch}) (w) file\n".encode(),
        "a.mvg": f"push graphic-context\nimage over 0,0 0,0 '|{touch}'\n".encode(),
        "a.msl": f'<image><read filename="|{touch}"/></image>'.encode(),
        "a.jpg": pickled(canary),
        "a.webp": zipped(canary),
        "a.bmp": object_arrays(canary),
        "a.gif": python(canary).encode(),
        "a.pdf": f"%PDF-1.4\n<< /Launch << /F (sh -c '{touch}') >> >>".encode(),
        "a.mp4": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "a.avi": f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode(),
    }


MOST_BYTES = 400 * 2**20
"""What a process may grow by while it refuses a file."""
MEASURE = """
import re, sys
from pathlib import Path
import av, PIL.Image, polars as pl
from savs.datasets.errors import DatasetError
from savs.datasets.media.media import decode_medium
from savs.datasets.rows.file_formats import read_rows
pl.DataFrame({"a": ["b"]}).lazy().select(pl.all()).collect(engine="streaming")
def peak():  # of this process alone: ru_maxrss begins with that of the process that started it
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
call, path = sys.argv[1], Path(sys.argv[2])
before = peak()
try:
    eval(call)
except DatasetError as error:
    print(peak(), peak() - before, error)
"""


def jpeg_of_scans(side_px: int, times: int) -> bytes:
    """Return a grey progressive JPEG whose last scan is there `times` more times."""
    grey = Image.new("L", (side_px, side_px), "gray")
    data = saved(grey, "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    last, end = data[start:-2], data[-2:]
    return data[:start] + last * (times + 1) + end


def refusal(call: str, path: Path, record: Callable[[str, object], None]) -> str:
    """Return what a process says that refuses a file without filling the memory.

    `call` is evaluated, as `read_rows(path)` or `decode_medium(path.read_bytes(), "x")`; `record`
    is told what it cost, for `scripts/attack_table.py`.
    """
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, call, str(path)], capture_output=True, text=True, check=True
    )
    peak, grown, said = done.stdout.strip().split(" ", 2)
    record("cost", f"reading {int(peak) // 10**6} {time.monotonic() - began_s:.1f}")
    assert int(grown) < MOST_BYTES, said
    return said
