"""The one door for media: names are names, and what is in a file makes no reader open another file or an address."""

from __future__ import annotations

import ast
import http.server
import os
import struct
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from latentsync_core.audio.clip_audio import clip_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.compositing.png_layers import PNG_SIGNATURE, _chunk
from latentsync_core.errors import AudioError, LatentSyncError, VideoError
from latentsync_core.media.opening import MAX_FRAME_PIXELS, MAX_IMAGE_PIXELS
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.proxy import write_proxy
from latentsync_core.video.writing.writer import FrameWriter
from tests.clips import make_clip, make_sound

ENGINE = Path(__file__).parents[2] / "latentsync_core"
NODES = ENGINE.parent / "nodes"
NAMES = [
    "take:1{}",
    "file:x{}",
    "concat:a|b{}",
    "pipe:0{}",
    "shot_%03d{}",
    "it's \"the\" 'one'{}",
    "two\nlines{}",
    "-dash{}",
    "-i{}",
    "back\\slash{}",
    " blank {}",
    "Übergröße 日本語 {}",
    "a,b;c=[d]#{}",
    "$(touch ran){}",
    os.fsdecode(b"caf\xe9{}"),
    "x" * 236 + "{}",
]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_clip(path, frames=3, audio=("-c:a", "aac")).read_bytes()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to work in, so that names are relative: what stands in front of a colon can't be hidden by a slash."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_a_name_as_clip_voice_and_result(here, film, name):
    clip_path, voice_path = Path(name.format(".mp4")), Path(name.format(".wav"))
    clip_path.write_bytes(film)
    make_sound(here / "plain.wav", seconds=0.2).rename(voice_path)
    clip_path.parent.joinpath("out").mkdir()
    out = Path("out") / name.format(".mp4")

    clip = probe(clip_path)
    assert clip.frame_count == 3
    assert clip_audio(clip)[0].shape[0] == 1
    load_audio(voice_path).mono16k()
    with (
        FrameReader(clip) as frames,
        FrameWriter(out, clip, pts=clip.pts, audio=load_audio(voice_path).track) as writer,
    ):
        for frame in frames:
            writer.write(frame)
    assert probe(out).frame_count == 3
    write_proxy(out, out.with_name("proxy.mp4"))
    assert sorted(os.listdir("out")) == sorted([out.name, "proxy.mp4"])


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n{}\n",
    "dash": '<?xml version="1.0"?>\n<!-- a --><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>',
    "imf": '<?xml version="1.0"?>\n<cpl:CompositionPlaylist xmlns:cpl="x">{}</cpl:CompositionPlaylist>',
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
    "pls": "[playlist]\nFile1={}\n",
    "quicktime reference": "RTSPtext\r{}\r",
    "after blanks": "\ufeff\n\n  ffconcat version 1.0\nfile '{}'\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".wav", ".png", ".m3u8", ""])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_refused_by_name_whatever_its_suffix(here, film, kind, suffix):
    Path("other.mp4").write_bytes(film)
    path = here / f"list{suffix}"
    path.write_text(PLAYLISTS[kind].format("other.mp4"), "utf-8")
    for read in (probe, load_audio):
        with pytest.raises(LatentSyncError, match="names other files"):
            read(path)


def test_a_list_in_a_form_that_the_door_does_not_know_opens_nothing_either(here, film):
    """ffmpeg finds more formats than those above; the whitelist of containers leaves all of them out."""
    Path("other.mp4").write_bytes(film)
    for text in ("ffconcat\tversion 1.0\nfile other.mp4\n", "# a comment\nffconcat version 1.0\nfile other.mp4\n"):
        Path("list.mp4").write_text(text)
        with pytest.raises(VideoError, match=r"list\.mp4"):
            probe("list.mp4")


def test_a_name_that_looks_like_an_address_reaches_no_server(here, film):
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(film)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}/film.mp4"
        for address in (f"http://{where}", f"http:/{where}", f"HTTP:/{where}", f"tcp://{where}", f"hls+http://{where}"):
            with pytest.raises(VideoError, match="is an address"):
                probe(address)
            with pytest.raises(AudioError, match="is an address"):
                load_audio(address)
        Path("http:/127.0.0.1").mkdir(parents=True)
        Path("http:/127.0.0.1/film.mp4").write_bytes(film)
        assert probe("http:/127.0.0.1/film.mp4").frame_count == 3, "a folder may have such a name"
        server.shutdown()
    assert asked == []


@pytest.mark.parametrize("read", [probe, load_audio])
def test_what_is_no_file_is_a_sentence(here, read):
    os.mkdir("folder")
    Path("empty.mp4").touch()
    cases = {"folder": "is a folder", "empty.mp4": "0 bytes", "none.mp4": "There is no file", "a\0b.mp4": "null"}
    cases |= {"x" * 300: "too long"}
    if sys.platform != "win32":
        os.mkfifo("fifo.mp4")
        cases |= {"fifo.mp4": "not a file", "/dev/zero": "not a file"}
    for name, word in cases.items():
        with pytest.raises(LatentSyncError, match=word):
            read(name)


def test_nothing_but_the_door_opens_media():
    """av.open, Pillow's Image.open and ffmpeg's -i stand in opening.py alone."""
    found = []
    for path in sorted([*ENGINE.rglob("*.py"), *NODES.rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            opens = isinstance(node, ast.Attribute) and node.attr == "open" and isinstance(node.value, ast.Name)
            if opens and node.value.id in ("av", "Image"):
                found.append((path.name, f"{node.value.id}.open"))
            if isinstance(node, ast.Constant) and node.value == "-i":
                found.append((path.name, "-i"))
            # Classes and errors may come from there; what opens, or a module that has it, may not.
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "av":
                names = {name.name for name in node.names} & {"open", "container", "core", "*"}
                found += [(path.name, f"from {node.module} import {name}") for name in names]
    assert {name for name, _ in found} == {"opening.py"}
    assert {what for _, what in found} == {"av.open", "Image.open", "-i"}, "the rule above still finds them"


def png(width: int, height: int) -> bytes:
    """A small file of a grey picture however large."""
    row = zlib.compressobj(9)
    data = b"".join(row.compress(bytes(1 + width)) for _ in range(height)) + row.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(here):
    side = int(MAX_IMAGE_PIXELS**0.5)
    path = here / "bomb.png"
    path.write_bytes(png(side + 1, side))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(VideoError, match=f"{side + 1}×{side}, more than 64 million"):
        probe(path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_film_of_too_many_pixels_is_refused_before_it_is_decoded(here):
    path = make_clip(here / "raw.avi", size=(64, 48), frames=1, encoder=("-c:v", "rawvideo"))
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 8  # BITMAPINFOHEADER: its size, then width and height
    data[at + 4 : at + 12] = (16000).to_bytes(4, "little") * 2
    path.write_bytes(data)
    assert MAX_FRAME_PIXELS < 16000 * 16000
    with pytest.raises(VideoError, match="16000×16000"):
        probe(path)


@pytest.mark.parametrize("way", ["one size", "behind another box", "fragment", "compressed"])
def test_a_table_that_claims_more_samples_than_bytes_is_refused_before_it_is_read(here, film, way):
    """FFmpeg would take gigabytes for the index."""
    data = bytearray(film)
    if way in ("one size", "behind another box"):
        at = data.index(b"stsz") + 8
        data[at : at + 8] = struct.pack(">2I", 1, 60_000_000)
        data[:0] = b"" if way == "one size" else struct.pack(">I4s", 8, b"zzzz")
    elif way == "compressed":
        data += struct.pack(">I4sI4sI4s4s", 28, b"moov", 20, b"cmov", 12, b"dcom", b"zlib")
    else:
        run = struct.pack(">I4s2I", 16, b"trun", 0, 60_000_000)
        traf = struct.pack(">I4s", 8 + len(run), b"traf") + run
        data += struct.pack(">I4s", 8 + len(traf), b"moof") + traf
    Path("lying.mp4").write_bytes(data)
    for read in (probe, load_audio):
        with pytest.raises(LatentSyncError, match="more samples than it can hold"):
            read("lying.mp4")


def test_honest_tables_are_read(here):
    """Samples of one size, one a byte, as 8-bit mono PCM has them; and fragments."""
    sound = make_sound(here / "plain.mov", "-c:a", "pcm_u8", seconds=0.5)
    assert load_audio(sound).samples == 22050
    fragments = make_clip(here / "fragments.mp4", encoder=("-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"))
    assert probe(fragments).frame_count == 10


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PPM", "TGA"])
def test_other_kinds_of_pictures_under_a_picture_s_name_are_not_read(here, kind):
    """Pillow reads EPS by running Ghostscript."""
    Image.new("RGB", (32, 32)).save("plain", format=kind)
    Path("plain").rename("picture.png")
    with pytest.raises(VideoError, match="is no picture that can be read"):
        probe("picture.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_pictures_are_read_whatever_their_suffix_says(here, kind):
    Image.new("RGB", (32, 24), (255, 0, 0)).save("plain", format=kind)
    Path("plain").rename("picture.png")
    assert probe("picture.png").images.shape == (1, 24, 32, 3)


def test_tags_that_are_not_utf_8_are_no_obstacle(here):
    sound = make_sound(here / "plain.wav", "-metadata", "title=AAAAAAAA", seconds=0.1)
    sound.write_bytes(sound.read_bytes().replace(b"AAAAAAAA", b"caf\xe9\xff\xfe\x80\x81"))
    assert load_audio(sound).samples == 4410
    clip = make_clip(here / "film.mkv", frames=2, encoder=("-c:v", "libx264", "-metadata", "title=AAAAAAAA"))
    clip.write_bytes(clip.read_bytes().replace(b"AAAAAAAA", b"caf\xe9\xff\xfe\x80\x81"))
    assert probe(clip).frame_count == 2
