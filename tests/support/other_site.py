"""Pages of other origins, and what they try to do to a page of ours, in a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from browser import Tab

HOSTILE = """<!doctype html><title>other</title><p id=heard></p><script>
const told = %s;
addEventListener("message", event => { heard.innerText += JSON.stringify(event.data) });
if (parent !== window) for (const data of [{savs: told}, {savs: told, nonce: ""}, told, ""]) {
  const { port1, port2 } = new MessageChannel();
  parent.postMessage(data, "*", [port2]);
  port1.postMessage(told);
}
</script>"""
"""A page that tells the page around it what a click on a class does, in all ways."""


@contextmanager
def other_site(told: str = "{}") -> Iterator[int]:
    """Serve a page of another origin; yield its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((HOSTILE % told).encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


UPLOAD = """(async () => {
  const form = new FormData();
  form.append("files", new Blob(["x"]), "x.png");
  const asked = {method: "POST", body: form, mode: %r, credentials: "include"};
  return await fetch(%r + "gradio_api/upload", asked).then(r => r.status, () => "failed");
})()"""
READ = "fetch(%r + 'config', {credentials: 'include'}).then(r => r.text(), () => 'failed')"
FRAME = """new Promise(done => {
  const frame = document.createElement("iframe");
  frame.onload = frame.onerror = () => done(true);
  frame.src = %r;
  document.body.append(frame);
})"""
IMAGE = """new Promise(done => {
  const image = new Image();
  image.onload = () => done("shown");
  image.onerror = () => done("failed");
  image.src = %r + "static/img/logo.svg";
})"""


def attack(tab: Tab, address: str) -> None:
    """Try to upload, read, show and frame from two other origins; nothing of it may work."""
    with other_site() as port:
        for host in ("127.0.0.1", "localhost"):  # another port, and another site
            tab.open(f"http://{host}:{port}/")
            tab.complaints.clear()
            assert tab.run(UPLOAD % ("no-cors", address)) in (0, "failed")
            assert tab.run(UPLOAD % ("cors", address)) == "failed"
            assert tab.run(READ % address) == "failed"
            assert tab.run(IMAGE % address) == "failed"
            assert tab.run(FRAME % address)
            assert [one for one in tab.complaints if "frame-ancestors 'none'" in one]
