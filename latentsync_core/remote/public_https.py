"""GET over https from public hosts only: a host's addresses are looked up once, checked, and only those connected to.

A URL is untrusted, and so is every redirect that it leads to. A host is asked only if each of its addresses is public.
The connection goes to a checked address, never to the name, so a name server that changes its answer gains nothing; TLS
still proves the name. A proxy in HTTPS_PROXY is asked for the checked address as well.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import DownloadError, UnavailableError
from .url import Url

MAX_REDIRECTS = 5  # that are followed
REDIRECT_STATUSES = {301, 302, 303, 307, 308}
MAX_ADDRESSES = 4  # of one host
POLL_SECONDS = 0.1  # between two looks at whether the user cancelled
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 for networks that have only IPv6
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that hosts on the internet have
# IANA's registries of special addresses that `is_global` misses in some Python version, and 6to4.
RESERVED_NETWORKS = tuple(
    ipaddress.ip_network(block)
    for block in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
PLATFORM_HOSTS = {ipaddress.ip_address("168.63.129.16")}  # Azure's own, at a public address seen only from inside

Tick = Callable[[], None]  # called several times a second while waiting; cancels by raising
T = TypeVar("T")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to a host on the internet: not this machine, its network, or a group of hosts.

    An IPv4 address inside an IPv6 one (mapped, or NAT64) counts as the IPv4 address that it stands for.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped or ip in NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip not in GLOBAL_UNICAST:
            return False
    if any(ip in block for block in RESERVED_NETWORKS) or ip in PLATFORM_HOSTS:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def system_addresses(host: str, port: int) -> list[str]:
    """Every address of a host as this machine's resolver has it, which reads 2130706433 and 0x7f.1 as addresses too."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


@dataclass(frozen=True)
class Network:
    """How hosts are found and reached; tests hand in their own name server and cables."""

    resolve: Callable[[str, int], list[str]] = system_addresses
    connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context  # SSL_CERT_FILE adds a company's certificate
    connect_timeout: float = 10.0  # to look a name up, and to reach and greet one address
    response_timeout: float = 30.0  # for the whole of an answer's headers


class Response:
    """A server's answer with its body yet to be read; a context manager."""

    def __init__(self, url: Url, response: http.client.HTTPResponse, polling_socket: _PollingSocket) -> None:
        self.url = url  # after redirects
        self.status = response.status
        self.headers = response.headers
        self._response, self._polling_socket = response, polling_socket

    def watch(self, tick: Tick) -> None:
        """Has `tick` called, from now on, before every wait for the body."""
        self._polling_socket.tick = tick

    def read(self, max_bytes: int) -> bytes:
        """What has come of the body, at most `max_bytes` bytes; empty at its end. Raises OSError, HTTPException."""
        return self._response.read1(max_bytes)

    def __enter__(self) -> Response:
        return self

    def close(self) -> None:
        self._response.close()
        self._polling_socket.close()

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def get(url: Url, headers: Mapping[str, str], network: Network, tick: Tick) -> Response:
    """Asks for `url` and follows redirects; the answer may have any status but a redirect's.

    Raises:
        UnavailableError: no such host, no connection, or no answer in time.
        DownloadError: a private address, a redirect to what is refused, too many of them, or TLS fails.
    """
    current = url
    for _ in range(MAX_REDIRECTS + 1):
        response = _request(current, headers, network, tick)
        if response.status not in REDIRECT_STATUSES:
            return response
        with response:
            current = current.resolve_redirect(response.headers.get("Location", ""))
    raise DownloadError(f"{url} redirects more than {MAX_REDIRECTS} times; give the file's own URL.")


def _request(url: Url, headers: Mapping[str, str], network: Network, tick: Tick) -> Response:
    connection = _connect(url, network, tick)
    deadline = time.monotonic() + network.response_timeout

    def check_deadline() -> None:
        tick()
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{url.authority} did not answer within {network.response_timeout:g} s; try again later."
            )

    lines = [f"GET {url.target} HTTP/1.1", f"Host: {url.authority}", "User-Agent: latentsync-dub", "Accept: */*"]
    # Only the plain bytes can be resumed and measured against the limit.
    lines += ["Accept-Encoding: identity", "Connection: close", *(f"{name}: {text}" for name, text in headers.items())]
    with ExitStack() as cleanup:
        polling_socket = cleanup.enter_context(_PollingSocket(connection, check_deadline))
        # Of a socket, HTTPResponse calls `makefile` alone.
        response = http.client.HTTPResponse(polling_socket, method="GET")  # pyright: ignore[reportArgumentType]
        cleanup.callback(response.close)
        try:
            polling_socket.send("\r\n".join([*lines, "", ""]).encode("ascii"))
            response.begin()
        except http.client.HTTPException as problem:
            raise DownloadError(
                f"{url.authority} does not answer as a web server ({type(problem).__name__}); check the URL."
            ) from None
        except OSError as problem:
            raise UnavailableError(f"{url.authority} hung up ({_reason(problem)}); try again later.") from None
        cleanup.pop_all()
    return Response(url, response, polling_socket)


def _connect(url: Url, network: Network, tick: Tick) -> ssl.SSLSocket:
    """A TLS connection to one of the host's addresses, once all of them are known to be public."""
    try:
        addresses = _run_in_thread(lambda: network.resolve(url.host, url.port), network.connect_timeout, tick)
    except (OSError, UnicodeError) as problem:
        raise UnavailableError(f"no host {url.host} was found ({_reason(problem)}); check the URL.") from None
    if non_public := [address for address in addresses if not is_public(address)]:
        raise DownloadError(
            f"{url.authority} is at {non_public[0]}, which is not a public address; copy the file to this machine and "
            "give its path."
        )
    proxy, context = _proxy_for(url.host), network.context()
    last_failure = OSError("the host has no address")
    for address in addresses[:MAX_ADDRESSES]:
        try:
            return _run_in_thread(
                lambda address=address: _dial(url, address, proxy, context, network), network.connect_timeout, tick
            )
        except ssl.SSLCertVerificationError as failure:
            raise DownloadError(
                f"{url.authority} can't prove that it is {url.host} ({failure.verify_message.rstrip('.')}); where a "
                "company signs for all hosts, name its certificate file in SSL_CERT_FILE."
            ) from None
        except ssl.SSLError as failure:
            raise DownloadError(f"{url.authority} fails to speak TLS ({_reason(failure)}); check the URL.") from None
        except OSError as failure:
            last_failure = failure
    raise UnavailableError(
        f"{url.authority} can't be reached ({_reason(last_failure)}); check the URL and the network."
    )


def _dial(url: Url, address: str, proxy: SplitResult | None, context: ssl.SSLContext, network: Network):
    """One try at one checked address, through the proxy if there is one."""
    place = (proxy.hostname or "", proxy.port or 80) if proxy else (address, url.port)
    plain = network.connect(place, network.connect_timeout)
    try:
        if proxy:
            _tunnel(plain, proxy, f"[{address}]:{url.port}" if ":" in address else f"{address}:{url.port}")
        # An end without TLS's goodbye is a cut, not an end: a body without a length shows nothing else.
        return context.wrap_socket(plain, server_hostname=url.host, suppress_ragged_eofs=False)
    except BaseException:
        plain.close()
        raise


def _proxy_for(host: str) -> SplitResult | None:
    """The proxy that the environment names (HTTPS_PROXY, ALL_PROXY, NO_PROXY), which is the user's own to trust."""
    proxies = urllib.request.getproxies_environment()
    named = proxies.get("https") or proxies.get("all")
    # typeshed lacks this function, the counterpart of the one above.
    if not named or urllib.request.proxy_bypass_environment(host, proxies):  # pyright: ignore[reportAttributeAccessIssue]
        return None
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        usable = proxy.scheme == "http" and proxy.hostname and (proxy.port or 80)
    except ValueError:
        proxy, usable = None, False
    if proxy is None or not usable:
        raise DownloadError("HTTPS_PROXY names no http:// proxy; unset it, or download the file and give its path.")
    return proxy


def _tunnel(plain: socket.socket, proxy: SplitResult, place: str) -> None:
    """Has the proxy connect to `place`, an address and a port. Raises UnavailableError, OSError."""
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials).decode()}")
    plain.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    response = http.client.HTTPResponse(plain, method="CONNECT")
    try:
        response.begin()
    except http.client.HTTPException as problem:
        raise OSError(f"the proxy gave no proper answer, {type(problem).__name__}") from None
    finally:
        response.close()
    if response.status != 200:
        raise UnavailableError(
            f"the proxy {proxy.hostname} refuses the connection ({response.status}); download the file, give its path."
        )


def _run_in_thread(work: Callable[[], T], seconds: float, tick: Tick) -> T:
    """What `work` returns or raises, run in a thread: neither a name server nor a connection can be interrupted.

    Raises TimeoutError after `seconds`, and whatever `tick` raises at once; the thread then ends by itself.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as problem:  # raised again, in the caller's thread
            results.put((None, problem))

    threading.Thread(target=run, daemon=True).start()
    deadline = time.monotonic() + seconds
    while True:
        tick()
        try:
            result, problem = results.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing within {seconds:g} s") from None
            continue
        if problem:
            raise problem
        return result  # pyright: ignore[reportReturnType]  # `work`'s own, where there is no problem


class _PollingSocket(io.RawIOBase):
    """A connection as http.client reads it: before every wait, and several times during one,
    it calls `tick`, by which a user cancels."""

    def __init__(self, connection: ssl.SSLSocket, tick: Tick) -> None:
        self.tick = tick
        self._connection = connection

    def send(self, request: bytes) -> None:
        self._connection.sendall(request)
        self._connection.settimeout(POLL_SECONDS)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while True:
            self.tick()
            try:
                return self._connection.recv_into(buffer)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._connection.close()
        super().close()


def _reason(problem: BaseException) -> str:
    """A system's or library's reason in one line."""
    text = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem)
    return str(text or type(problem).__name__).strip().splitlines()[0].rstrip(".")
