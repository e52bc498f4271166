"""A machine that runs commands against the stand-in of the hub."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hub_server import Hub

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
