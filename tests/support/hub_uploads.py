"""The part of the hub's HTTP API that uploads use: make a repository, send files, commit them.

Safetensors go the way of large files, by git-lfs: their bytes first, then their digest.
"""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_right"


class Uploads(BaseHTTPRequestHandler):
    """Answers POST and PUT; the handler of `hub_server` is one."""

    hub: Any

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
        elif found := re.fullmatch(r"/api/(models/[^/]+/[^/]+)/preupload/main", path):
            self._json({"files": [_mode(file) for file in json.loads(body)["files"]]})
        elif re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            self._json({"objects": [self._place(one) for one in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"/api/(models/[^/]+/[^/]+)/commit/main", path):
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
        from hub_server import Repository

        owner, name = asked["organization"], asked["name"]
        if owner not in self.hub.owners:
            self._fail(403, None, f"You don't have the rights to create a model under {owner}")
            return
        address = {"url": f"{self.hub.address}/{owner}/{name}"}
        if f"models/{owner}/{name}" in self.hub.repositories:
            self._json(address, 409)
            return
        folder = self.hub.made / owner / name
        folder.mkdir(parents=True)
        is_private = asked.get("visibility") == "private"
        self.hub.repositories[f"models/{owner}/{name}"] = Repository(folder, private=is_private)
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
            if kind == "file":
                path.write_bytes(base64.b64decode(value["content"]))
            elif kind == "lfsFile":
                path.write_bytes(self.hub.blobs[value["oid"]])
            elif kind == "deletedFile":
                path.unlink()
        commit = repository.commit
        address = f"{self.hub.address}/{name.removeprefix('models/')}/commit/{commit}"
        self._json({"commitUrl": address, "commitOid": commit})

    def _json(self, value: Any, status: int = 200) -> None: ...

    def _fail(self, status: int, code: str | None, text: str, **more: str) -> None: ...

    def _head(self, status: int, length: int, **facts: str) -> None: ...


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    is_large = Path(file["path"]).suffix == ".safetensors"
    mode = "lfs" if is_large else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
