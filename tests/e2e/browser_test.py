"""A web page in a real browser calls the server: what CORS allows, and what it does not."""

import http.server
import json
import shutil
import subprocess
import threading

import pytest

from conftest import DEMO

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))),
               None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here, so no page calls the server from a browser")

# A body of JSON with a key makes the browser ask first (a preflight); the stream is read bit by bit.
PAGE = """<!doctype html><script>
async function call() {
  const answer = await fetch("SERVER/v1/chat/completions", {
    method: "POST",
    headers: {"Content-Type": "application/json", "Authorization": "Bearer browser-key"},
    body: JSON.stringify({model: "demo", messages: [{role: "user", content: "Hello!"}], max_tokens: 4, stream: true}),
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  return {status: answer.status, id: answer.headers.get("x-request-id"), text};
}
call().catch(error => ({error: String(error)}))
      .then(result => fetch("/result", {method: "POST", body: JSON.stringify(result)}));
</script>"""


class Site:
    """Serves PAGE, and takes what the page found out."""

    def __init__(self):
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(site.page.encode() if self.path == "/" else b"")

            def do_POST(self):
                site.result = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                site.done.set()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.done = threading.Event()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def visit(self, server_url, profile):
        """What the page says after it has called the server."""
        self.page = PAGE.replace("SERVER", server_url)
        browser = subprocess.Popen(
            [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={profile}", self.origin + "/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            if not self.done.wait(timeout=120):
                browser.kill()
                pytest.fail(f"the browser said nothing: {browser.communicate()[1][-2000:]}")
        finally:
            browser.kill()
            browser.wait()
        return self.result


@pytest.fixture
def site():
    site = Site()
    yield site
    site.http.shutdown()


def serve(start_server, tmp_path, origin):
    keys = tmp_path / "keys"
    keys.write_text("browser-key\n")
    return start_server(DEMO, "--context", 512, "--served-model-name", "demo", "--api-key-file", keys,
                        "--cors-origin", origin).wait_until_ready()


def test_a_page_of_an_allowed_origin_streams_an_answer(site, start_server, tmp_path):
    server = serve(start_server, tmp_path, site.origin)
    result = site.visit(server.url, tmp_path / "profile")
    assert result.get("status") == 200, result
    assert result["text"].rstrip().endswith("data: [DONE]")
    assert len(result["id"]) == 32, "the page may read the id, for reports"
    assert server.stop() == 0


def test_a_page_of_another_origin_is_kept_out(site, start_server, tmp_path):
    server = serve(start_server, tmp_path, "https://chat.example")
    assert "error" in site.visit(server.url, tmp_path / "profile")
    assert "POST /v1/chat/completions" not in server.log_text()
    assert server.stop() == 0
