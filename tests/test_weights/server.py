"""HTTP servers on this machine that misbehave as those of the world do."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Respond = Callable[['Handler', bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Serves ``files``: each path a content and how to send it."""

    protocol_version = 'HTTP/1.1'
    files: dict[str, tuple[bytes, Respond]]
    requests: list[str]

    def do_GET(self) -> None:
        path = self.path.partition('?')[0]
        if self.command == 'GET':
            self.requests.append(path)
        if path not in self.files:
            self.send_error(404)
            return
        content, respond = self.files[path]
        respond(self, content)

    do_HEAD = do_GET

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header('Content-Length', str(length))
        headers.setdefault('Content_Type', 'application/octet-stream')
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()

    def send(self, content: bytes) -> None:
        if self.command != 'HEAD':
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


def whole(handler: Handler, content: bytes) -> None:
    handler.head(200, len(content))
    handler.send(content)


def breaking(times: int) -> Respond:
    """Close the connection after half of the content, so many times."""
    left = [times]

    def respond(handler: Handler, content: bytes) -> None:
        breaks = handler.command == 'GET' and left[0] > 0
        left[0] -= breaks
        handler.head(200, len(content))
        handler.send(content[: len(content) // 2] if breaks else content)
        handler.close_connection = breaks

    return respond


def status(code: int, times: int = 10**6, **headers: str) -> Respond:
    left = [times]

    def respond(handler: Handler, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            whole(handler, content)
        else:
            handler.head(code, 0, **headers)

    return respond


def page(handler: Handler, content: bytes) -> None:
    text = b'<!DOCTYPE html><title>Log in</title>'
    handler.head(200, len(text), Content_Type='text/html; charset=utf-8')
    handler.send(text)


def slow(seconds: float, pieces: int = 5) -> Respond:
    def respond(handler: Handler, content: bytes) -> None:
        handler.head(200, len(content))
        step = -(-len(content) // pieces)
        for i in range(0, len(content), step):
            time.sleep(seconds / pieces)
            handler.send(content[i : i + step])

    return respond


def hub_file(handler: Handler, content: bytes) -> None:
    """A file as the Hugging Face hub sends it."""
    handler.head(
        200,
        len(content),
        ETag=f'"{hashlib.sha256(content).hexdigest()}"',
        X_Repo_Commit='0' * 40,
        X_Linked_Size=str(len(content)),
    )
    handler.send(content)


def hub_error(code: int, kind: str) -> Respond:
    def respond(handler: Handler, content: bytes) -> None:
        text = json.dumps(dict(error=kind)).encode()
        handler.head(code, len(text), X_Error_Code=kind, X_Error_Message=kind)
        handler.send(text)

    return respond


@contextmanager
def serve(
    files: dict[str, tuple[bytes, Respond]],
) -> Iterator[tuple[str, list]]:
    """Serve files on a free port.

    Yields:
        tuple[str, list]: The URL, and the paths that were asked for.
    """
    requests: list = []
    handler = type('Served', (Handler,), dict(files=files, requests=requests))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', requests
        server.shutdown()
