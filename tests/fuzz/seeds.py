"""Small valid files of every format that is read, for mutations to start from."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from latentsync_core.errors import VideoError
from latentsync_core.ffmpeg import run_ffmpeg
from latentsync_core.models.demonstration import NANO_FOLDER
from latentsync_core.models.models_folder import BUNDLE_FILE

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.4")
TONE = ("-f", "lavfi", "-i", "sine=r=44100:d=0.4")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "5")
FILMS = {  # name: ffmpeg's encoder arguments
    "b_frames.mp4": (*X264, "-c:a", "aac"),
    "fragments.mp4": (*X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "prores.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le"),
    "hevc.mov": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "pcm_s24le"),
    "h264.mkv": (*X264, "-c:a", "libopus"),
    "ffv1.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "h264.ts": (*X264, "-c:a", "mp2"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "aac"),
}
SOUNDS = {
    "s16.wav": ("-c:a", "pcm_s16le"),
    "float.wav": ("-c:a", "pcm_f32le", "-ac", "2"),
    "surround.wav": ("-c:a", "pcm_s24le", "-af", "aformat=channel_layouts=5.1"),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
    "rf64.wav": ("-rf64", "always"),
    "constant.mp3": ("-b:a", "64k", "-metadata", "title=a title"),
    "variable.mp3": ("-q:a", "5", "-id3v2_version", "3"),
    "s16.flac": (),
    "s24.flac": ("-sample_fmt", "s32", "-ac", "2"),
}
MARKS = [
    {"frame": 0, "box": [10, 8, 40, 44]},
    {"time": 0.2, "points": [[15, 20], [30, 20], [22, 32]], "face": 1},
    {"frame": 9, "gone": True},
]


def make_seeds(folder: Path) -> list[Path]:
    """Writes one file of each kind; those of a Whisper model and a bundle lie in folders of their own."""
    for name, encoder in FILMS.items():
        run_ffmpeg(["-y", *PICTURE, *TONE, *encoder, str(folder / name)], error=VideoError, what=name)
    for name, encoder in SOUNDS.items():
        run_ffmpeg(["-y", *TONE, *encoder, str(folder / name)], error=VideoError, what=name)
    _pictures(folder)
    _weights(folder)
    (folder / "marks.json").write_text(json.dumps(MARKS))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _pictures(folder: Path) -> None:
    ramp = bytes(range(256)) * 12
    rgb = Image.frombytes("RGB", (32, 32), ramp)
    rgb.save(folder / "rgb.png")
    rgb.convert("P").save(folder / "palette.png")
    Image.frombytes("I;16", (32, 24), ramp[: 32 * 24 * 2]).save(folder / "deep.png")
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    rgb.save(folder / "turned.jpg", exif=exif)
    rgb.save(folder / "lossless.webp", lossless=True)
    rgb.save(folder / "packed.tif", compression="tiff_lzw")


def _weights(folder: Path) -> None:
    """A checkpoint of each form, and OpenAI's layout of a Whisper model."""
    tensors = {f"layer.{number}.weight": torch.full((8, 4 + number), 0.5) for number in range(4)}
    save_file(tensors, folder / "weights.safetensors")
    torch.save({"state_dict": tensors}, folder / "zipped.pt")
    torch.save(tensors, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    from latentsync_core.models.bundle import whisper_dims, whisper_state
    from latentsync_core.models.untrained import untrained_model

    small = untrained_model(device="cpu").whisper
    (folder / "whisper").mkdir()
    torch.save({"dims": whisper_dims(small), "model_state_dict": whisper_state(small)}, folder / "whisper" / "tiny.pt")
    (folder / "bundle").mkdir()
    shutil.copy(NANO_FOLDER / BUNDLE_FILE, folder / "bundle")


def picture_bomb(width: int, height: int) -> bytes:
    """A short PNG that says it is `width` by `height`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def hostile_files() -> dict[str, bytes]:
    """Files that somebody made on purpose, by name."""
    eps = io.BytesIO()
    Image.new("RGB", (8, 8)).save(eps, format="EPS")
    deep_json = b"[" * 100_000 + b"]" * 100_000
    wav = bytearray(b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 65535, 2**32 - 1, 0, 0, 16))
    wav += b"data\xff\xff\xff\xff" + bytes(4000)
    return {
        "bomb.png": picture_bomb(30_000, 30_000),
        "wide.png": picture_bomb(2**31 - 1, 1),
        "eps.png": eps.getvalue(),
        "text.mp4": b"only words, no film\n" * 40,
        "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "hls.mp4": b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "channels.wav": bytes(wav),
        "random.mp3": bytes((i * 7919) % 251 for i in range(5000)),
        "header.safetensors": struct.pack("<Q", 2**63 - 1) + b"{}" * 20,
        "shape.safetensors": _lying_safetensors([2**40, 2**20]),
        "negative.safetensors": _lying_safetensors([-1, 4]),
        "text.pt": b"only words, no weights\n" * 40,
        "deep.json": deep_json,
        "number.json": b'[{"frame": ' + b"9" * 50_000 + b', "gone": true}]',
    }


def _lying_safetensors(shape: list[int]) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 64]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64)
