"""Streams a published file from a model hub: by https alone, without any token, never more than expected."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import IO, BinaryIO

from ...errors import ModelError

CHUNK_BYTES = 1 << 18  # bytes read at once, at most: at 1 MB/s a cancel is noticed within a quarter of a second
TIMEOUT_SECONDS = 30.0  # seconds without a byte
USER_AGENT = "latentsync-dub"
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# What goes wrong on a network; the rest is a fault of ours.
NETWORK_ERRORS = (OSError, http.client.HTTPException, UnicodeError)


class UnexpectedResponse(Exception):
    """The server answered with something else than the file; the message says with what."""


def check_endpoint(endpoint: str) -> str:
    """The address of a hub without the slash at its end; ModelError for one that nothing is fetched from."""
    try:
        parts = urllib.parse.urlsplit(endpoint)
        host, _port = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host or not endpoint.isprintable() or " " in endpoint or not endpoint.isascii():
        raise ModelError(f"{endpoint[:80]!r} is no address of a model hub; write it like https://mirror.example.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ModelError(
            f"The address of the model hub at {host} has a name, a password or a query in it; leave them out."
        )
    if not _is_allowed(parts):
        raise ModelError(
            f"Models aren't fetched from {parts.scheme}://{host}: without https anybody on the way could change them; "
            "use an https address."
        )
    return endpoint.rstrip("/")


def stream(url: str, target: BinaryIO, offset: int, size: int, report: Callable[[int], None]) -> None:
    """Downloads the rest of a file of `size` bytes and appends it to `target`, which holds the first `offset` bytes.

    Starts over where the server can't begin there. Never writes more than `size` bytes. `report` is called with the
    bytes that are there after each piece; whatever it raises cancels. Redirects are followed by https alone (or within
    this machine), never from a public address to a private one. Nothing but the address is sent: no token, no cookie,
    no password from a .netrc file.

    Raises:
        UnwantedAnswer: no such file, or one of another length.
        OSError, http.client.HTTPException: the network failed, or a file couldn't be written.
    """
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = _opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        with problem:
            raise UnexpectedResponse(f"the server answers {problem.code} {problem.reason}"[:120]) from None
    except ValueError as problem:  # an address in a redirect that is none
        raise UnexpectedResponse(f"the server sends on to no address ({problem})"[:200]) from None
    with response:
        start, whole = _content_range(response, offset)
        if whole not in (None, size):
            raise UnexpectedResponse(f"the server has {whole} bytes where {size} were published")
        if start != offset:
            target.seek(0)
            target.truncate(0)
        done = start
        report(done)
        while done < size and (data := response.read1(min(CHUNK_BYTES, size - done))):
            target.write(data)
            done += len(data)
            report(done)
        if done < size:
            raise ConnectionError(f"the connection ended after {done} of {size} bytes")


def _content_range(response: http.client.HTTPResponse, offset: int) -> tuple[int, int | None]:
    """Where in the file an answer begins, and how long the file is as far as the server says."""
    length = response.headers.get("Content-Length", "")
    if response.status == http.client.OK:
        return 0, int(length) if length.isdecimal() else None
    stated = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if response.status != http.client.PARTIAL_CONTENT or not stated or int(stated[1]) != offset:
        raise UnexpectedResponse(f"the server answers {response.status} to a request for the rest")
    return offset, None if stated[3] == "*" else int(stated[3])


class _SafeRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows a redirect by https, or on this machine; not from elsewhere into a private network."""

    max_redirections = 8

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        try:
            allowed = after.hostname and after.username is None and after.port != 0 and _is_allowed(after)
        except ValueError:
            allowed = False
        if not allowed:
            raise UnexpectedResponse(f"the server sends on to {after.scheme}://{after.netloc}, which isn't https"[:200])
        if _is_private(after.hostname) and not _is_private(before.hostname):
            raise UnexpectedResponse(
                f"the server sends on to {after.hostname}, an address inside a private network"[:200]
            )
        return urllib.request.Request(newurl.replace(" ", "%20"), headers=req.headers, unverifiable=True)

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302  # Python 3.10 doesn't know it


def _opener() -> urllib.request.OpenerDirector:
    """Knows http, https and the environment's proxies; no files, no FTP, no passwords."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        _SafeRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _context() -> ssl.SSLContext:
    """The system's certificates, and certifi's where it is installed: some Pythons on macOS come without any."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context


def _is_allowed(parts: urllib.parse.SplitResult) -> bool:
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str | None) -> bool:
    """Whether a name stands for an address that isn't public; not for one that only a proxy can look up."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(place[4][0]).partition("%")[0]) for place in found]
    return not all((getattr(address, "ipv4_mapped", None) or address).is_global for address in addresses)
