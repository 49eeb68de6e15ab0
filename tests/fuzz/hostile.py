"""Files that somebody made on purpose: bombs, lies, playlists, other formats under a good name, and code in weights."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from tests.fuzz.children import Outcome
from tests.fuzz.media_mutations import boxes_in
from tests.fuzz.picture_mutations import png_chunk

LARGE = 60_000_000  # samples; of more, ffmpeg refuses the list by itself


@dataclass(frozen=True)
class Hostile:
    """A file by its name, which is its kind, and how reading it is to end."""

    data: bytes
    expected: tuple[Outcome, ...]


def hostile_files(seeds: Mapping[str, bytes]) -> dict[str, Hostile]:
    """Every file by its name, whose end says its kind, made out of `seeds` where it must be right but for one thing."""
    refused = {**_pictures(), **_no_media(), **_sounds(), **_films(seeds), **_weights(seeds), **_texts(seeds)}
    right = {"tags.mp3": _tags(seeds["constant.mp3"]), "followed.mp4": seeds["b_frames.mp4"] + bytes(100)}
    either = {"text.png": _text_bomb(), "fast.wav": _wav(rate=2**31 - 1)}
    return {
        **{name: Hostile(data, (Outcome.REFUSED,)) for name, data in refused.items()},
        **{name: Hostile(data, (Outcome.ACCEPTED,)) for name, data in right.items()},
        **{name: Hostile(data, (Outcome.ACCEPTED, Outcome.REFUSED)) for name, data in either.items()},
    }


# ---- pictures


def _pictures() -> dict[str, bytes]:
    """Short files that say they are very large, and what Pillow reads through other programs or decoders."""
    jpeg = bytearray(_saved("JPEG"))
    size_at = jpeg.index(b"\xff\xc0") + 5
    jpeg[size_at : size_at + 4] = struct.pack(">HH", 65500, 65500)
    tiff = bytearray(_saved("TIFF"))
    for tag in (256, 257):
        entry = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 60_000)
    webp = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 16383 | 16383 << 14) + bytes(5)
    return {
        "bomb.png": _picture_bomb(30_000, 30_000),
        "wide.png": _picture_bomb(2**31 - 1, 1),
        "bomb.jpg": bytes(jpeg),
        "gif.png": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";",
        "bomb.tif": bytes(tiff),
        "bomb.webp": b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        "eps.png": _saved("EPS"),
        "pdf.png": _saved("PDF"),
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    }


def _saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format=kind)
    return file.getvalue()


def _picture_bomb(width: int, height: int) -> bytes:
    """A short PNG that says it is `width` by `height`."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    """A PNG of 8 by 8 pixels with a compressed remark of 400 MB."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    text = b"Comment\0\0" + b"".join(packer.compress(block) for _ in range(400)) + packer.flush()
    whole = _saved("PNG")
    return whole[:33] + png_chunk(b"zTXt", text) + whole[33:]


# ---- no media at all


def _no_media() -> dict[str, bytes]:
    """Playlists, which name other files, and texts under the names of films, sounds and pictures."""
    hls = b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"
    texts = {
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "hls": hls,
        "marked_hls": b"\xef\xbb\xbf\r\n " + hls,
        "dash": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n",
        "reference": b"[Reference]\r\nRef1=http://127.0.0.1/x\r\n",
        "words": b"only words, no film\n" * 40,
        "zeros": bytes(5000),
        "empty": b"",
        "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nA line.\n",
    }
    files = {f"{name}.{suffix}": text for name, text in texts.items() for suffix in ("mp4", "wav", "png")}
    # A film that points to another file: QuickTime's reference movie with an alias or an address.
    address = b"file:///etc/passwd\0"
    part = b"rdrf" + struct.pack(">I", 0) + b"url " + struct.pack(">I", len(address)) + address
    for kind in (b"rmda", b"rmra", b"moov"):
        part = struct.pack(">I", len(part) + 4) + part
        part = kind + part
    return {**files, "reference.mov": struct.pack(">I", len(part) + 4) + part}


# ---- sounds


def _sounds() -> dict[str, bytes]:
    not_numbers = struct.pack("<4f", 0.0, float("nan"), float("inf"), 0.0) * 500
    return {
        "channels.wav": _wav(channels=65535, rate=2**32 - 1, block=0),
        "slow.wav": _wav(rate=2, samples=bytes(100_000)),  # seven hours
        "nan.wav": _wav(coding=3, bits=32, samples=not_numbers),
        "random.mp3": bytes((i * 7919) % 251 for i in range(5000)),
    }


def _wav(
    coding: int = 1, channels: int = 1, rate: int = 8000, block: int | None = None, bits: int = 16, samples: bytes = b""
) -> bytes:
    """A WAV file whose sizes are left open."""
    block = channels * bits // 8 if block is None else block
    head = struct.pack("<IHHIIHH", 16, coding, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + head + b"data\xff\xff\xff\xff" + (samples or bytes(4000))


def _tags(mp3: bytes) -> bytes:
    """A sound with a title in a coding that isn't UTF-8, though it says so."""
    frame = b"TIT2" + struct.pack(">IH", 8, 0) + b"\x03caf\xe9 \xff\xfe"
    body = frame + b"TXXX" + struct.pack(">IH", 9, 0) + b"\x03k\xe9y\0v\xff\xfe\xe9"
    tag = b"ID3\x03\0\0" + bytes((0, 0, len(body) >> 7, len(body) & 0x7F)) + body
    length = int.from_bytes(mp3[6:10], "big") if mp3[:3] == b"ID3" else 0
    return tag + mp3[(10 + length) if length else 0 :]


# ---- films


def _films(seeds: Mapping[str, bytes]) -> dict[str, bytes]:
    """Tables that claim samples by the hundred million, and codecs that nobody knows."""
    film, short, matroska = (seeds[name] for name in ("b_frames.mp4", "fragments.mp4", "h264.mkv"))
    many = _many_samples(film)
    entries = 300_000
    long_times = struct.pack(">II", 0, entries) + struct.pack(">II", 1, 1) * entries
    lasting = struct.pack(">IIII", 0, 1, 40, 0x7FFFFFFF)
    runs = [box for box in boxes_in(short) if box.kind == b"trun"]
    flood = bytearray(short)
    flood[runs[0].at + 8 : runs[0].at + 16] = struct.pack(">II", 0, LARGE)
    return {
        "samples.mp4": many,
        **{f"{way}.mp4": data for way, data in _hidden_samples(many).items()},
        "no_codec.mp4": film[: film.index(b"stsd")] + film[film.index(b"stsd") :].replace(b"avc1", b"xq7z", 1),
        "times.mp4": _with_table(film, b"stts", long_times)[: len(film) // 2],
        "lasting.mp4": _with_table(film, b"stts", lasting),
        "flood.mp4": bytes(flood),
        "months.mp4": _with_months_between(film),
        "beginning.mkv": matroska[:4],
        "segment.mkv": matroska[: matroska.index(b"\x18\x53\x80\x67") + 4],
        "header.mkv": matroska[:4] + (1 << 56 | 1 << 54).to_bytes(8, "big") + matroska[5:],
    }


def _many_samples(film: bytes) -> bytes:
    """A film whose tables claim LARGE samples of one byte, one a tick, all of them in its first chunk."""
    tables = {
        b"stsz": struct.pack(">III", 0, 1, LARGE),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, LARGE, 1),
        b"stts": struct.pack(">IIII", 0, 1, LARGE, 1),
        b"stco": struct.pack(">III", 0, 1, 48),
        b"ctts": struct.pack(">II", 0, 0),
        b"stss": struct.pack(">III", 0, 1, 1),
    }
    for kind, content in tables.items():
        film = _with_table(film, kind, content)
    return film


def _with_months_between(film: bytes) -> bytes:
    """A film whose frames are months apart, and not evenly."""
    slow = bytearray(_with_table(film, b"stts", struct.pack(">6I", 0, 2, 20, 3_000_000, 20, 5_000_000)))
    header = next(box for box in boxes_in(slow) if box.kind == b"mdhd")
    slow[header.at + 20 : header.at + 24] = struct.pack(">I", 1)  # tick a second
    edits = next(box for box in boxes_in(slow) if box.kind == b"edts")  # would leave out all that is past two seconds
    slow[edits.at + 4 : edits.at + 8] = b"free"
    return bytes(slow)


def _hidden_samples(film: bytes) -> dict[str, bytes]:
    """The same film with its tables where a reader finds them all the same, by the way in which they are hidden."""
    other_first, other_kind = (struct.pack(">I", 16) + kind + bytes(8) + film for kind in (b"zzzz", b"\xa9zz\xff"))
    table = next(box for box in boxes_in(film) if box.kind == b"stbl")
    wrapped = bytearray(film)
    wrapped[table.at : table.at] = struct.pack(">I", table.size + 8) + b"udta"
    for parent in table.parents:
        size = int.from_bytes(wrapped[parent : parent + 4], "big") + 8
        wrapped[parent : parent + 4] = struct.pack(">I", size)
    movie = next(box for box in boxes_in(film) if box.kind == b"moov")
    packed = zlib.compress(film[movie.at : movie.at + movie.size])
    parts = _box(b"dcom", b"zlib") + _box(b"cmvd", struct.pack(">I", movie.size) + packed)
    compressed = film[: movie.at] + _box(b"moov", _box(b"cmov", parts)) + film[movie.at + movie.size :]
    freed = film[: movie.at] + _box(b"free", film[movie.at + 8 : movie.at + movie.size])  # read if there is no other
    return {
        "other_first": other_first,
        "other_kind": other_kind,
        "wrapped": bytes(wrapped),
        "compressed": compressed,
        "freed": freed,
    }


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _with_table(data: bytes, kind: bytes, content: bytes) -> bytes:
    """`data` with the first table of that kind replaced, and the sizes of the boxes around it put right."""
    box = next(box for box in boxes_in(data) if box.kind == kind)
    changed = bytearray(data)
    changed[box.at : box.at + box.size] = struct.pack(">I", 8 + len(content)) + kind + content
    for parent in box.parents:
        size = int.from_bytes(changed[parent : parent + 4], "big") + 8 + len(content) - box.size
        changed[parent : parent + 4] = struct.pack(">I", size)
    return bytes(changed)


# ---- weights, faces and marks


class _Code:
    """Unpickled, it would run a command."""

    def __reduce__(self):
        import os

        return os.system, ("echo run > run.txt",)


def _weights(seeds: Mapping[str, bytes]) -> dict[str, bytes]:
    code = pickle.dumps({"a": _Code()}, protocol=2)
    legacy = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", pickle.dumps({"a": 1}, protocol=2))
        with file.open("a/data/0", "w", force_zip64=True) as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))
    deep = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    return {
        "code.pt": _archive({"a/data.pkl": code, "a/version": b"3\n"}),
        "legacy_code.pt": legacy + code,
        "bomb.pt": bomb.getvalue(),
        "deep.pt": _archive({"a/data.pkl": deep, "a/version": b"3\n"}),
        "words.pt": b"only words, no weights\n" * 40,
        "header.safetensors": struct.pack("<Q", 2**63 - 1) + b"{}" * 20,
        "shape.safetensors": _lying_safetensors([2**40, 2**20]),
        "negative.safetensors": _lying_safetensors([-1, 4]),
        "faces/bomb.npz": _array_bomb(seeds["faces/seed.faces.npz"]),
        "faces/objects.npz": _archive(
            {"tracks.npy": _array("|O", "(1,)", code), "shots.npy": _array("|O", "()", code)}
        ),
    }


def _archive(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name, data in files.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return written.getvalue()


def _array(kind: str, shape: str, data: bytes) -> bytes:
    """A .npy file that claims this type and shape."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def _array_bomb(seed: bytes) -> bytes:
    """A faces' file whose boxes claim 40 TB."""
    with zipfile.ZipFile(io.BytesIO(seed)) as file:
        entries = {info.filename: file.read(info) for info in file.infolist()}
    entries["boxes.npy"] = _array("<f4", f"({10**13},)", bytes(64))
    return _archive(entries)


def _lying_safetensors(shape: list[int]) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 64]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64)


def _texts(seeds: Mapping[str, bytes]) -> dict[str, bytes]:
    deep = b"[" * 100_000 + b"]" * 100_000
    number = b'[{"frame": ' + b"9" * 50_000 + b', "gone": true}]'
    config = b'{"format": "latentsync-dub-bundle", "name": '
    bundle = json.loads(seeds["bundle/model.json"])
    bundle["unet"]["\ud800\n"] = 1
    return {
        "deep.json": deep,
        "number.json": number,
        "half_a_pair.json": b'[{"frame": 0, "box": "\\ud800\\n"}]',
        "twice.json": b'[{"frame": 0, "frame": 1, "gone": true}]',
        "half_a_pair/bundle/model.json": json.dumps(bundle).encode(),
        "deep/bundle/model.json": config + deep + b"}",
        "deep/hugging_face/config.json": b'{"d_model": ' + deep + b"}",
    }
