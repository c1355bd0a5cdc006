"""HTTP servers on this machine that misbehave as those of the world do."""

import hashlib
import json
import re
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
    requests: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        path = self.path.partition('?')[0]
        self.requests.append((self.command, path, self.headers['Range']))
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


def ranges(handler: Handler, content: bytes) -> None:
    """As servers that can go on from where a connection broke."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    asked = re.fullmatch(r'bytes=(\d+)-', handler.headers['Range'] or '')
    start = 0
    if asked and handler.headers['If-Range'] == tag:
        start = int(asked[1])
    handler.head(206 if start else 200, len(content) - start, ETag=tag)
    handler.send(content[start:])


def breaking(times: int, sends: Respond = ranges) -> Respond:
    """Close the connection after half of what is left, so many times."""
    left = [times]

    def respond(handler: Handler, content: bytes) -> None:
        if left[0] <= 0:
            sends(handler, content)
            return
        left[0] -= 1
        send = handler.send

        def half(part: bytes) -> None:
            send(part[: len(part) // 2])
            handler.close_connection = True

        handler.send = half
        sends(handler, content)

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
            handler.wfile.write(content[i : i + step])

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
        tuple[str, list]: The URL, and the requests that have come.
    """
    requests: list = []
    handler = type('Served', (Handler,), dict(files=files, requests=requests))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', requests
        server.shutdown()
