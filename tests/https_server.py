"""A web server on this machine that speaks TLS as films.example, and a network on which every name leads to it."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from latentsync_core.remote.public_https import Network

CERTIFICATES = Path(__file__).parent / "data" / "https"
PUBLIC = "93.184.216.34"  # where the test network has all its hosts; nothing is ever sent there


class Request(BaseHTTPRequestHandler):
    """One request, with what a page needs to answer it; `closing` is set when the test is over."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    closing: threading.Event

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A proper answer; `Content_Type="video/mp4"` becomes a header."""
        self.begin(status, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()

    def raw(self, data: bytes) -> None:
        """Bytes as they are, for answers that no proper server gives."""
        self.wfile.write(data)
        self.wfile.flush()

    def drop_connection(self) -> None:
        """Closes the connection without TLS's goodbye."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


Page = Callable[[Request], None]


@dataclass
class HttpsServer:
    """What is served at which path, and what was asked for."""

    port: int
    pages: dict[str, Page] = field(default_factory=dict)  # by path without its query
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path with query, headers in lower case
    connected_addresses: list[str] = field(default_factory=list)  # addresses that were connected to

    def network(self, hosts: dict[str, list[str]] | None = None, **changes) -> Network:
        """A network without an outside: hosts are at a public address, whose cable ends at this server."""

        def resolve(host: str, _port: int) -> list[str]:
            return (hosts or {}).get(host, [PUBLIC])

        def connect(place: tuple[str, int], seconds: float) -> socket.socket:
            self.connected_addresses.append(place[0])
            return socket.create_connection(("127.0.0.1", self.port), seconds)

        return Network(**{"resolve": resolve, "connect": connect, "context": trusting_context, **changes})


def trusting_context() -> ssl.SSLContext:
    """Trusts the test authority and nobody else."""
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


def file_page(content: bytes, etag: str = "", modified: str = "", kind: str = "video/mp4", ranges: bool = True) -> Page:
    """A file as good servers have it: with revalidation, and ranges."""

    def page(request: Request) -> None:
        headers = {"Content_Type": kind, "ETag": etag, "Last_Modified": modified}
        headers = {name: text for name, text in headers.items() if text}
        if etag and request.headers.get("If-None-Match") == etag:
            return request.answer(304, **headers)
        if modified and request.headers.get("If-Modified-Since") == modified:
            return request.answer(304, **headers)
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if start and ranges and request.headers.get("If-Range") in (etag, modified):
            first = int(start[1])
            place = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return request.answer(206, content[first:], Content_Range=place, **headers)
        return request.answer(200, content, **headers)

    return page


def redirect(location: str, status: int = 302) -> Page:
    return lambda request: request.answer(status, Location=location)


@contextmanager
def film_server(**pages: Page) -> Iterator[HttpsServer]:
    """Serves until the context ends; answers that hang then end too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")

    class Handler(Request):
        closing = threading.Event()

        def setup(self) -> None:
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def do_GET(self) -> None:
            self.close_connection = True
            served.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
            page = served.pages.get(self.path.partition("?")[0])
            if page:
                page(self)
            else:
                self.answer(404)

        def finish(self) -> None:
            try:
                super().finish()
                self.request.unwrap()  # says goodbye
            except OSError:
                pass  # the other side has gone, as the test wants
            finally:
                self.request.close()

    class Server(ThreadingHTTPServer):
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # connections that a test breaks off

    with Server(("127.0.0.1", 0), Handler) as server:
        served = HttpsServer(server.server_address[1])
        served.pages.update({f"/{name}": page for name, page in pages.items()})
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            Handler.closing.set()
            server.shutdown()
            thread.join()
