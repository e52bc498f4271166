"""Bytes that make the file `canary` where something runs them, or follows what they name."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


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
