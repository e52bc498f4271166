"""A local S3 server, whose connections can be cut."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

BUCKET = "features"


@contextmanager
def serve_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator["Cutter"]:
    """Run an S3 server with one bucket, after a proxy, for clients of this process."""
    import boto3
    from s3fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    with Cutter((host, port)) as cutter:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cutter.port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        S3FileSystem.clear_instance_cache()
        yield cutter
        S3FileSystem.clear_instance_cache()
    server.stop()


class Cutter:
    """A proxy that cuts a connection where it is given to: after a request, before its answer."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut: Callable[[bytes], bool] = lambda request: False
        """Whether the answer to a request is lost; is given what was sent."""
        self.cuts = 0

    def __enter__(self) -> "Cutter":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        lost = threading.Event()
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            answers = threading.Thread(target=self._answer, args=(server, client, lost))
            answers.start()
            while data := client.recv(65536):
                if self.cut(data):
                    self.cuts += 1
                    lost.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            answers.join()

    def _answer(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if lost.is_set():  # the request was served, its answer never comes
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
