"""A local stand-in for the Hugging Face hub: the part of its HTTP API that savs uses.

Repositories are folders with one commit each. Large files are redirected, as the hub does with
those in its object store; ranges, entity tags, gates and tokens are as on the hub.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote, urlsplit

import yaml
from web import running

NAME = "(?:models|datasets|spaces)/[^/]+/[^/]+"
RESOLVE = r"/(datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)"
LARGE_BYTES = 20_000
"""Files of more bytes are redirected."""


@dataclass
class Repository:
    """A repository: its files, and who may read it."""

    folder: Path
    gated: bool = False
    """Whether it may only be read with `TOKEN`."""
    private: bool = False
    """Whether it is hidden without `TOKEN`."""
    sdk: str | None = None
    """What runs a Space."""

    @property
    def commit(self) -> str:
        names = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return hashlib.sha1(b"".join(path.read_bytes() for path in names)).hexdigest()


@dataclass
class Hub:
    """What the stand-in holds and was asked for."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    """`models/owner/name`, `datasets/owner/name` or `spaces/owner/name` -> the repository."""
    address: str = ""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    ranges: list[str] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    """File name -> bytes after which its next download is cut."""
    made: Path | None = None
    """Folder of the repositories that are made here."""
    owners: tuple[str, ...] = ()
    """Owners for whom `TOKEN` may write."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """SHA-256 -> a large file that was uploaded and may be committed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        body = self._body()
        if self.headers.get("Authorization", "").removeprefix("Bearer ") != TOKEN:
            self._fail(401, None, "Invalid credentials in Authorization header")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif found := re.fullmatch(rf"/api/({NAME})/preupload/main", path):
            self._json({"files": [_mode(file) for file in json.loads(body)["files"]]})
        elif re.fullmatch(r"(/datasets|/spaces)?/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            self._json({"objects": [self._place(one) for one in json.loads(body)["objects"]]})
        elif found := re.fullmatch(rf"/api/({NAME})/commit/main", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._fail(404, "EntryNotFound", "Entry not found")

    def do_PUT(self) -> None:
        self.hub.asked.append(f"PUT {self.path}")
        data = self._body()
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.hub.blobs[self.path.rpartition("/")[2]] = data
        self._head(200, 0)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any]) -> None:
        owner, name = asked["organization"], asked["name"]
        if owner not in self.hub.owners:
            self._fail(403, None, f"You don't have the rights to create a model under {owner}")
            return
        key = f"{asked.get('type', 'model')}s/{owner}/{name}"
        address = {"url": f"{self.hub.address}/{key.removeprefix('models/')}"}
        if key in self.hub.repositories:
            self._json(address, 409)
            return
        folder = self.hub.made / key
        folder.mkdir(parents=True)
        is_private = asked.get("visibility") == "private"
        self.hub.repositories[key] = Repository(folder, private=is_private, sdk=asked.get("sdk"))
        self._json(address)

    def _validate(self, card: str) -> None:
        front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
        known = isinstance(front and yaml.safe_load(front[1]), dict)
        self._json({"errors": [] if known else [{"message": "no metadata"}], "warnings": []})

    def _place(self, asked: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.hub.address}/lfs/{asked['oid']}"
        return {**asked, "actions": {"upload": {"href": href}}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        repository = self.hub.repositories[name]
        for line in lines:
            kind, value = line["key"], line["value"]
            path = repository.folder / value.get("path", "")
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                path.write_bytes(base64.b64decode(value["content"]))
            elif kind == "lfsFile":
                path.write_bytes(self.hub.blobs[value["oid"]])
            elif kind == "deletedFile":
                path.unlink()
        commit = repository.commit
        address = f"{self.hub.address}/{name.removeprefix('models/')}/commit/{commit}"
        self._json({"commitUrl": address, "commitOid": commit})

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if found := re.fullmatch(rf"/api/({NAME})(/.*)?", path):
            self._api(found[1], found[2] or "")
        elif found := re.fullmatch(RESOLVE, path):
            kind = found[1] or "models/"
            self._resolve(f"{kind}{found[2]}", found[3], found[4], body=body)
        elif found := re.fullmatch(rf"/store/({NAME})/(.+)", path):
            self._send_file(self.hub.repositories[found[1]].folder / found[2], body=body)
        else:
            self._fail(404, "EntryNotFound", "Entry not found")

    def _allowed(self, name: str) -> Repository | None:
        """Return a repository, or send why it may not be read."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        repository = self.hub.repositories.get(name)
        if token and token != TOKEN:
            self._fail(401, None, "Invalid credentials in Authorization header")
        elif repository is None or (repository.private and not token):
            self._fail(401, "RepoNotFound", "Repository not found")
        elif repository.gated and not token:
            owner = name.partition("/")[2]
            self._fail(401, "GatedRepo", f"Access to model {owner} is restricted. Please log in.")
        else:
            return repository
        return None

    def _api(self, name: str, rest: str) -> None:
        repository = self._allowed(name)
        if repository is None:
            return
        paths = sorted(path for path in repository.folder.rglob("*") if path.is_file())
        files = [(path.relative_to(repository.folder).as_posix(), path) for path in paths]
        if rest.startswith("/tree/"):
            below = "/".join(rest.split("/")[3:])
            entries = [
                {"type": "file", "path": n, "size": p.stat().st_size, "oid": _etag(p)}
                for n, p in files
                if n.startswith(below)
            ]
            if entries or not below:
                self._json(entries)
            else:
                self._fail(404, "EntryNotFound", f"{below} does not exist")
        elif rest in ("", "/revision/main", f"/revision/{repository.commit}"):
            owner = name.partition("/")[2]
            self._json(
                {
                    "id": owner,
                    "sha": repository.commit,
                    "private": repository.private,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "siblings": [{"rfilename": n, "size": p.stat().st_size} for n, p in files],
                }
            )
        else:
            self._fail(404, "RevisionNotFound", "Invalid rev id")

    def _resolve(self, name: str, revision: str, file: str, *, body: bool) -> None:
        repository = self._allowed(name)
        if repository is None:
            return
        if revision not in ("main", repository.commit):
            self._fail(404, "RevisionNotFound", "Invalid rev id")
            return
        path = repository.folder / file
        facts = {"X-Repo-Commit": repository.commit}
        if not path.is_file():
            self._fail(404, "EntryNotFound", "Entry not found", **facts)
            return
        if path.stat().st_size <= LARGE_BYTES:
            self._send_file(path, body=body, **facts)
            return
        facts |= {
            "X-Linked-Size": str(path.stat().st_size),
            "X-Linked-ETag": f'"{_etag(path)}"',
            "Location": f"{self.hub.address.replace('127.0.0.1', 'localhost')}/store/{name}/{file}",
        }
        self._head(302, 0, **facts)

    def _send_file(self, path: Path, *, body: bool, **facts: str) -> None:
        data, start = path.read_bytes(), 0
        facts |= {"ETag": f'"{_etag(path)}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1])
            self.hub.ranges.append(f"{path.name} from {start}")
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if wanted else 200, len(data) - start, **facts)
        if not body:
            return
        end = self.hub.cut.pop(path.name, None)
        self.wfile.write(data[start : None if end is None else start + end])
        if end is not None:
            self.close_connection = True

    def _json(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self._head(status, len(text), **{"Content-Type": "application/json"})
        self.wfile.write(text)

    def _fail(self, status: int, code: str | None, text: str, **more: str) -> None:
        facts = {"X-Error-Message": text} | ({"X-Error-Code": code} if code else {})
        self._head(status, 0, **facts, **more)

    def _head(self, status: int, length: int, **facts: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in facts.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        return


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    is_large = Path(file["path"]).suffix in (".safetensors", ".h5")
    mode = "lfs" if is_large else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


def _etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def hub_here(hub: Hub, **constants: Any) -> Iterator[None]:
    """Let this process, which is offline, ask the stand-in, without Xet."""
    from huggingface_hub import close_session
    from huggingface_hub import constants as of_process

    files = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    ours = {"ENDPOINT": hub.address, "HUGGINGFACE_CO_URL_TEMPLATE": files}
    ours |= {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}
    with mock.patch.multiple(of_process, **ours, **constants):
        yield
    close_session()


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Run the stand-in; its address is for `HF_ENDPOINT`."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as hub.address:
        yield hub


TOKEN = "hf_right"
DRIVER = """
import contextlib, io, json, os, sys
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1000  # what it keeps of a download that is cut: whole chunks
from savs.pipeline.cli.app import main
for case in json.load(open(sys.argv[1])):
    os.environ.pop("HF_TOKEN", None)
    os.environ.update(case["env"])
    sys.argv, said, code = ["savs", *case["args"]], io.StringIO(), None
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, said.getvalue()]))
"""
"""Runs several commands in one process: each start takes seconds."""


@dataclass(frozen=True)
class Place:
    """A hub, and a machine that has fetched nothing yet."""

    hub: Hub
    work: Path

    def run(
        self, *cases: tuple[tuple[str, ...], dict[str, str]], **env: str
    ) -> list[tuple[int, str]]:
        """Return exit code and messages of commands, each with its own environment."""
        (self.work / "cases.json").write_text(
            json.dumps([{"args": args, "env": own} for args, own in cases])
        )
        ours = {"HF_ENDPOINT": self.hub.address, "HF_HOME": str(self.work / "cache")}
        done = subprocess.run(
            [sys.executable, "-P", "-c", DRIVER, str(self.work / "cases.json")],
            env=os.environ | {"PYTHONSAFEPATH": "1", "HF_HUB_OFFLINE": "0"} | ours | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
