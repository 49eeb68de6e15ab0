"""Only public hosts are asked, over https alone, whatever a URL, a redirect, a name server or a proxy says."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from latentsync_core.errors import DownloadError, UnavailableError
from latentsync_core.remote.public_https import MAX_REDIRECTS, Network, Response, get, is_public
from latentsync_core.remote.url import Url, looks_like_url, redact_url
from tests.https_server import PUBLIC, HttpsServer, file_page, film_server, redirect

FILM = "https://films.example/scene.mp4"
SECRET = "hunter2"
PATIENCE = 10  # seconds after which whatever hangs gives up, so that a client without limits fails its test


@pytest.fixture
def server():
    with film_server() as running:
        running.pages["/scene.mp4"] = file_page(b"a film")
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(server: HttpsServer, url: str = FILM, tick=lambda: None, **network) -> bytes:
    """The body at `url`."""
    with get(Url.parse(url), {}, server.network(**network), tick) as answer:
        return body_of(answer)


def body_of(answer: Response) -> bytes:
    length, body = int(answer.headers["Content-Length"]), b""
    while len(body) < length:
        body += answer.read(length - len(body))
    return body


# What counts as a URL, and which are refused


@pytest.mark.parametrize(
    ("url", "word"),
    [
        (f"http://films.example/a.mp4?sig={SECRET}", "use https:"),
        ("http://127.0.0.1/a.mp4", "use https:"),
        ("file:///etc/passwd", "give the file's path"),
        ("file:/etc/passwd", "give the file's path"),
        (f"ftp://user:{SECRET}@films.example/a.mp4", "'ftp' URL"),
        ("data:video/mp4;base64,AAAA", "'data' URL"),
        ("rtmp://films.example/live", "'rtmp' URL"),
        ("concat:a.mp4|b.mp4", "'concat' URL"),
        ("s3://bucket/key.mp4", "'s3' URL"),
        ("javascript://films.example/%0aalert(1)", "'javascript' URL"),
        ("://films.example/a.mp4", "'' URL"),
        (f"https://user:{SECRET}@films.example/a.mp4", "user name or password"),
        (f"https://{SECRET}@films.example", "user name or password"),
        (f"https://films.example\\@{SECRET}/a.mp4", "control character or a backslash"),
        ("https://films.example/a.mp4\r\nX-Header: 1", "control character"),
        ("https:///a.mp4", "no valid host"),
        ("https:/films.example/a.mp4", "no valid host"),
        ("https://", "no valid host"),
        ("https://films.example:port/a.mp4", "no valid host"),
        ("https://films.example:99999/a.mp4", "no valid host"),
        ("https://films example/a.mp4", "no valid host"),
        ("https://[::1/a.mp4", "no valid host"),
        ("https://[fe80::1%25eth0]/a.mp4", "no valid host"),
        (f"https://{'a' * 70}.example/", "no valid host"),
        ("https://films..example/", "no valid host"),
    ],
)
def test_what_cannot_be_fetched_is_refused_with_the_way_out_and_without_its_secrets(url, word):
    with pytest.raises(DownloadError, match=word) as refused:
        Url.parse(url)
    assert SECRET not in str(refused.value)


def test_a_url_is_sent_properly_and_shown_without_query(server):
    url = Url.parse(f"HTTPS://Films.Example./Über uns/scene 1.mp4?sig={SECRET}#t=5")
    assert (url.host, url.port) == ("films.example", 443)
    assert url.target == f"/%C3%9Cber%20uns/scene%201.mp4?sig={SECRET}"
    assert str(url) == repr(url) == "films.example/.../scene%201.mp4"
    assert Url.parse("https://bücher.example:8443/a").authority == "xn--bcher-kva.example:8443"
    assert redact_url(f"picture:https://me:{SECRET}@h/a.png?sig={SECRET}") == "picture:https://h/a.png"


def test_two_queries_are_two_urls():
    assert Url.parse(f"{FILM}?take=1").digest != Url.parse(f"{FILM}?take=2").digest
    assert Url.parse(f"{FILM}#here").digest == Url.parse("https://FILMS.example:443/scene.mp4").digest


def test_files_with_colons_are_files_and_everything_with_a_scheme_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [looks_like_url(text) for text in ("scene.mp4", r"C:\films\a.mp4", "C:/a.mp4", "take 2: a.mp4")] == [
        False
    ] * 4
    assert all(looks_like_url(text) for text in ("HTTPS://h/a", "rtsp://h", "file:/etc/passwd", "data:,a", "foo://x"))
    assert looks_like_url("data:" + "A" * 5000)


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "198.18.0.1", "203.0.113.5", "224.0.0.251", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:808:808::1", "2001:0:808:808::1", "100::1", "::ffff:0:127.0.0.1",
        "3fff::1", "2001:10::1", "192.88.99.1", "192.0.0.8",
    ],
)  # fmt: skip
def test_an_address_of_this_machine_or_its_networks_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_an_address_on_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "localhost", "１２７.0.0.1", "169.254.169.254", "2852039166", "10.0.0.1"],
)  # fmt: skip
def test_no_spelling_of_a_private_address_is_asked_on_the_real_network(host):
    with pytest.raises(DownloadError, match=r"not a public address|no host"):
        get(Url.parse(f"https://{host}:1/scene.mp4"), {}, Network(), lambda: None)


def test_a_host_with_one_private_address_among_public_ones_is_not_asked(server):
    with pytest.raises(DownloadError, match=r"evil\.example is at 10\.0\.0\.7, which is not a public address"):
        ask(server, "https://evil.example/a.mp4", hosts={"evil.example": [PUBLIC, "10.0.0.7"]})
    assert server.connected_addresses == []


def test_a_name_server_that_changes_its_answer_is_asked_once_and_its_first_answer_connected_to(server):
    answers = [[PUBLIC], ["127.0.0.1"]]
    assert ask(server, resolve=lambda host, port: answers.pop(0)) == b"a film"
    assert server.connected_addresses == [PUBLIC]
    assert answers == [["127.0.0.1"]]
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1, which is not a public"):
        ask(server, resolve=lambda host, port: answers.pop(0))
    assert server.connected_addresses == [PUBLIC]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_to_other_paths_and_public_hosts(server, status):
    server.pages["/old.mp4"] = redirect("middle.mp4?a=1", status)
    server.pages["/middle.mp4"] = redirect("https://elsewhere.example/scene.mp4", status)
    assert ask(server, "https://films.example/old.mp4") == b"a film"
    assert [path for path, _ in server.asked] == ["/old.mp4", "/middle.mp4?a=1", "/scene.mp4"]
    assert [headers["host"] for _, headers in server.asked][-1] == "elsewhere.example"


@pytest.mark.parametrize(
    ("location", "word"),
    [
        ("http://films.example/scene.mp4", "http: URL is not fetched"),
        ("//inside.example/scene.mp4", r"inside\.example is at 192\.168\.0\.9, which is not a public"),
        ("https://inside.example/scene.mp4", r"inside\.example is at 192\.168\.0\.9, which is not a public"),
        ("https://127.0.0.1/scene.mp4", "not a public address"),
        ("https://[::ffff:127.0.0.1]/", "not a public address"),
        ("file:///etc/passwd", "file: URL is not opened"),
        ("data:video/mp4;base64,AAAA", "'data' URL is not fetched"),
        ("ftp://films.example/a.mp4", "'ftp' URL is not fetched"),
        (f"https://me:{SECRET}@films.example/scene.mp4", "user name or password"),
        ("https://films.example:x/", "no valid host"),
        ("https://[broken/", "can't be read|no valid host"),
        ("\\\\inside.example\\share", "control character or a backslash"),
    ],
)
def test_a_redirect_to_what_would_be_refused_is_refused(server, location, word):
    server.pages["/old.mp4"] = redirect(location)
    addresses = {
        "inside.example": ["192.168.0.9"],
        "127.0.0.1": ["127.0.0.1"],
        "::ffff:127.0.0.1": ["::ffff:127.0.0.1"],
    }
    with pytest.raises(DownloadError, match=word) as refused:
        ask(server, "https://films.example/old.mp4", hosts=addresses)
    assert SECRET not in str(refused.value)
    assert [path for path, _ in server.asked] == ["/old.mp4"]
    assert server.connected_addresses == [PUBLIC]


def test_a_redirect_loop_ends(server):
    server.pages["/a.mp4"] = redirect("/b.mp4")
    server.pages["/b.mp4"] = redirect("/a.mp4")
    with pytest.raises(DownloadError, match=f"more than {MAX_REDIRECTS} times"):
        ask(server, "https://films.example/a.mp4")
    assert len(server.asked) == MAX_REDIRECTS + 1


def test_as_many_redirects_as_allowed_arrive_and_one_without_a_place_leads_back_to_itself(server):
    for number in range(MAX_REDIRECTS):
        server.pages[f"/{number}"] = redirect(f"/{number + 1}" if number + 1 < MAX_REDIRECTS else "/scene.mp4")
    assert ask(server, "https://films.example/0") == b"a film"
    server.pages["/nowhere"] = lambda request: request.answer(302)
    with pytest.raises(DownloadError, match="more than"):
        ask(server, "https://films.example/nowhere")


# TLS


def test_a_certificate_for_another_name_or_by_a_stranger_is_refused(server):
    with pytest.raises(DownloadError, match=r"stranger\.example can't prove that it is stranger\.example \(Hostname"):
        ask(server, "https://stranger.example/scene.mp4")
    with pytest.raises(DownloadError, match="SSL_CERT_FILE"):
        ask(server, context=Network().context)
    assert server.asked == []


@pytest.fixture
def plain_server():
    """A server without TLS that says and does what a test wants, once a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def serving(listener: socket.socket, act):
    thread = threading.Thread(target=lambda: act(listener.accept()[0]), daemon=True)
    thread.start()
    yield lambda place, seconds: socket.create_connection(listener.getsockname(), seconds)
    thread.join(5)
    assert not thread.is_alive()


def test_a_server_without_tls_or_that_hangs_up_at_once_is_a_sentence(server, plain_server):
    def speak_plainly(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(1 << 16)

    with serving(plain_server, speak_plainly) as connect, pytest.raises(DownloadError, match="fails to speak TLS"):
        ask(server, connect=connect)
    with serving(plain_server, socket.socket.close) as connect, pytest.raises(DownloadError, match=r"TLS|reached"):
        ask(server, connect=connect)


# Time, and being cancelled


def test_of_several_addresses_the_first_that_answers_is_used(server):
    network = server.network()

    def connect(place, seconds):
        if place[0] == "2606:4700::1111":
            raise ConnectionRefusedError(111, "Connection refused")
        return network.connect(place, seconds)

    assert ask(server, resolve=lambda host, port: ["2606:4700::1111", PUBLIC], connect=connect) == b"a film"


def test_no_such_host_no_connection_and_no_answer_are_sentences(server):
    def no_host(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def no_connection(place, seconds):
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(UnavailableError, match=r"no host films\.example was found \(Name or service not known\)"):
        ask(server, resolve=no_host)
    with pytest.raises(UnavailableError, match=r"can't be reached \(Connection refused\)"):
        ask(server, connect=no_connection)
    with pytest.raises(UnavailableError, match=r"can't be reached \(the host has no address\)"):
        ask(server, resolve=lambda host, port: [])


@pytest.mark.parametrize("stage", ["resolve", "connect"])
def test_a_name_server_or_host_that_never_answers_ends_in_time(server, stage):
    never = threading.Event()
    with pytest.raises(UnavailableError, match=r"nothing within 0\.2 s"):
        ask(server, connect_timeout=0.2, **{stage: lambda *_: never.wait(PATIENCE)})
    never.set()


def silent(request):
    request.closing.wait(PATIENCE)


def dribbling(request):
    request.raw(b"HTTP/1.1 200 OK\r\nX-Header: ")
    for _ in range(50 * PATIENCE):
        if request.closing.wait(0.02):
            break
        request.raw(b"a")


def endless_headers(request):
    for _ in range(1000):
        request.raw(b"X-Header: a\r\n")


def not_http(request):
    request.raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


@pytest.mark.parametrize(
    ("page", "word"),
    [
        (silent, r"did not answer within 0\.3 s"),
        (dribbling, r"did not answer within 0\.3 s"),
        (endless_headers, "does not answer as a web server"),
        (not_http, "does not answer as a web server"),
        (lambda request: request.raw(b"HTTP/1.1 200 OK\r\nX-Header: " + b"a" * 70_000), "does not answer as a web"),
        (lambda request: request.drop_connection(), "hung up|does not answer as a web server"),
    ],
)
def test_an_answer_that_never_comes_or_makes_no_sense_ends(server, page, word):
    server.pages["/scene.mp4"] = page
    with pytest.raises(DownloadError, match=word):
        ask(server, response_timeout=0.3)


class _CancelError(Exception):
    """What a user's cancel looks like to the engine."""


@pytest.mark.parametrize("stage", ["resolve", "connect", "answer"])
def test_a_cancel_acts_at_once_whatever_is_waited_for(server, stage):
    waiting, never = threading.Event(), threading.Event()

    def wait(*_):
        waiting.set()
        never.wait()

    server.pages["/scene.mp4"] = wait
    changes = {} if stage == "answer" else {stage: wait}

    def cancel_once_it_waits():
        if waiting.is_set():
            raise _CancelError

    try:
        with pytest.raises(_CancelError):  # a time limit would be another error
            ask(server, tick=cancel_once_it_waits, **changes)
    finally:
        never.set()


# Proxies


@contextmanager
def proxy(server: HttpsServer, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A proxy that takes down what it is asked for, and leads everything to the film server."""
    seen: list[bytes] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side has gone

    def act(inside: socket.socket) -> None:
        with inside:
            request = b""
            while b"\r\n\r\n" not in request:
                request += inside.recv(1 << 16)
            seen.append(request)
            inside.sendall(answer)
            if b" 200 " in answer:
                with socket.create_connection(("127.0.0.1", server.port)) as outside:
                    threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
                    pump(inside, outside)

    with socket.create_server(("127.0.0.1", 0)) as listener, serving(listener, act):
        yield listener.getsockname()[1], seen


def test_a_proxy_is_asked_for_the_checked_address(server, monkeypatch):
    with proxy(server) as (port, seen):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@127.0.0.1:{port}")
        assert ask(server, connect=socket.create_connection) == b"a film"
    assert seen[0].startswith(f"CONNECT {PUBLIC}:443 HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6aHVudGVyMg==\r\n" in seen[0]
    assert not any("proxy" in name for name in server.asked[0][1])


def test_a_proxy_does_not_lead_to_private_addresses(server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1, which is not a public address"):
        ask(server, hosts={"films.example": ["127.0.0.1"]})
    assert server.connected_addresses == []


def test_a_proxy_that_refuses_or_is_of_another_kind_is_a_sentence(server, monkeypatch):
    with proxy(server, b"HTTP/1.1 403 Forbidden\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        with pytest.raises(UnavailableError, match=r"proxy 127\.0\.0\.1 refuses the connection \(403\)"):
            ask(server, connect=socket.create_connection)
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://me:{SECRET}@127.0.0.1:9")
    with pytest.raises(DownloadError, match="names no http:// proxy") as refused:
        ask(server)
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("NO_PROXY", ".example")
    assert ask(server) == b"a film"
