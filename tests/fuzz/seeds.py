"""Small valid files of every format that is read, for mutations to start from."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from latentsync_core.errors import VideoError
from latentsync_core.faces.cache import SUFFIX, write_faces
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.models.loading.bundle import save_bundle, whisper_dims, whisper_state
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.models.unet.config import MotionConfig, UNetConfig
from latentsync_core.models.unet.unet import UNet
from latentsync_core.models.vae import SD_VAE_CONFIG, DiffusersCodec
from latentsync_core.models.whisper.encoder import HUGGING_FACE_DIMS, WhisperEncoder
from latentsync_core.sampling.patch_store import PatchStore
from tests.made_faces import empty_clip, made_faces, make_track

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1.6")
TONE = ("-f", "lavfi", "-i", "sine=r=44100:d=1.6")
SHORT = ("-t", "0.4")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "5")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error")
PRORES = ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")
FILMS = {  # name: ffmpeg's encoder arguments
    "b_frames.mp4": (*X264, "-c:a", "aac"),  # long enough to be sought in
    "fragments.mp4": (*SHORT, *X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "prores.mov": (*SHORT, *PRORES, "-c:a", "pcm_s16le", "-timecode", "01:00:00:00"),
    "hevc.mov": (*SHORT, *X265, "-c:a", "pcm_s24le"),
    "ffv1.mov": (*SHORT, "-c:v", "ffv1", "-strict", "-2", "-c:a", "alac"),
    "h264.mkv": (*X264, "-c:a", "libopus"),
    "ffv1.mkv": (*SHORT, "-c:v", "ffv1", "-c:a", "flac"),
    "vp9.mkv": (*SHORT, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libvorbis"),
    "h264.ts": (*SHORT, *X264, "-c:a", "mp2"),
    "mpeg2.ts": (*SHORT, "-c:v", "mpeg2video", "-bf", "2", "-c:a", "aac"),
    "others/mpeg4.avi": (*SHORT, "-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "others/mpeg2.mxf": (*SHORT, "-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"),
    "others/vp8.webm": (*SHORT, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "others/theora.ogv": (*SHORT, "-c:v", "libtheora", "-c:a", "libvorbis"),
    "others/h264.flv": (*SHORT, *X264, "-c:a", "aac"),
    "others/wmv2.wmv": (*SHORT, "-c:v", "wmv2", "-c:a", "wmav2"),
}
SOUNDS = {
    "s16.wav": ("-c:a", "pcm_s16le"),
    "float.wav": ("-c:a", "pcm_f32le", "-ac", "2"),
    "extensible.wav": ("-c:a", "pcm_s24le", "-af", "aformat=channel_layouts=5.1"),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
    "alaw.wav": ("-c:a", "pcm_alaw"),
    "rf64.wav": ("-rf64", "always"),
    "constant.mp3": ("-b:a", "64k", "-metadata", "title=a title"),
    "variable.mp3": ("-q:a", "5", "-id3v2_version", "3"),
    "s16.flac": (),
    "s24.flac": ("-sample_fmt", "s32", "-ac", "2"),
    "others/aac.m4a": ("-c:a", "aac"),
    "others/vorbis.ogg": ("-c:a", "libvorbis"),
    "others/s24.aiff": ("-c:a", "pcm_s24be"),
    "others/surround.ac3": ("-c:a", "ac3", "-af", "aformat=channel_layouts=5.1"),
}
COVER = ("-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic")
MARKS = [
    {"frame": 0, "box": [10, 8, 40, 44]},
    {"time": 0.2, "points": [[15, 20], [30, 20], [22, 32]], "face": 1},
    {"frame": 9, "gone": True},
]
FACES_CLIP_FRAMES = 20  # of the clip that the seed of a faces' file belongs to
PATCHES = ("seed", 6, (4, 4, 4))  # key, frames and shape of the seed of a patch store
WIDTHS = (32,)  # channels of each level of the smallest U-Net and autoencoder


def make_seeds(folder: Path) -> list[Path]:
    """Writes a file of each kind. What is made of several files (a bundle) lies in a folder of its kind, and so do the
    formats that a sample of is enough."""
    (folder / "others").mkdir()
    for name, encoder in FILMS.items():
        run_ffmpeg(["-y", *PICTURE, *TONE, *encoder, str(folder / name)], error=VideoError, what=name)
    for name, encoder in SOUNDS.items():
        run_ffmpeg(["-y", *TONE, *SHORT, *encoder, str(folder / name)], error=VideoError, what=name)
    _pictures(folder)
    for name in ("cover.mp3", "cover.flac"):
        inputs = (*TONE, "-i", str(folder / "turned.jpg"))
        run_ffmpeg(["-y", *inputs, *SHORT, *COVER, str(folder / name)], error=VideoError, what=name)
    attached = ("-attach", str(folder / "turned.jpg"), "-metadata:s:t:0", "mimetype=image/jpeg")
    attached += ("-attach", str(folder / "packed.tif"), "-metadata:s:t:1", "mimetype=application/x-truetype-font")
    run_ffmpeg(
        ["-y", *PICTURE, *TONE, *SHORT, *X264, "-c:a", "mp3", *attached, str(folder / "attached.mkv")],
        error=VideoError,
        what="attached.mkv",
    )
    _weights(folder)
    (folder / "marks.json").write_text(json.dumps(MARKS))
    _faces(folder / "faces")
    with PatchStore(*PATCHES, folder=folder / "patches") as store:
        for frame in (0, 1, 4):
            store.put(frame, torch.full(store.shape, 0.25 * frame))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def faces_clip():
    """The clip that the seed of a faces' file belongs to."""
    return empty_clip(FACES_CLIP_FRAMES)


def smallest_model() -> LatentSyncModel:
    """The three networks, as small as their classes allow, with weights of 0.1."""
    levels = len(WIDTHS)
    config = UNetConfig(
        block_channels=WIDTHS,
        resnets_per_block=1,
        audio_width=16,
        heads=2,
        norm_groups=4,
        down_attention=(True,),
        up_attention=(True,),
        motion=MotionConfig(heads=2, positions=24),
        motion_levels=(True,),
    )
    vae_config = SD_VAE_CONFIG | {
        "block_out_channels": list(WIDTHS),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    unet, codec = UNet.from_config(config), DiffusersCodec.from_config(vae_config)
    for network in (unet, codec.vae):
        for parameter in network.parameters():
            parameter.requires_grad_(False).fill_(0.1)
    return LatentSyncModel(
        name="smallest",
        unet=unet,
        codec=codec,
        whisper=_smallest_whisper(),
        resolution=64,
        device=torch.device("cpu"),
        dtype=torch.float32,
        digest="",
    )


def _smallest_whisper() -> WhisperEncoder:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder

    config = WhisperConfig(
        num_mel_bins=80,
        max_source_positions=30,
        d_model=16,
        encoder_attention_heads=2,
        encoder_layers=1,
        encoder_ffn_dim=64,
    )
    encoder = Encoder(config)
    for parameter in encoder.parameters():
        parameter.requires_grad_(False).fill_(0.1)
    return WhisperEncoder(encoder, "")


def _pictures(folder: Path) -> None:
    noise = random.Random(0).randbytes(32 * 32 * 3)
    rgb = Image.frombytes("RGB", (32, 32), noise)
    rgb.save(folder / "rgb.png")
    rgb.convert("RGBA").save(folder / "alpha.png")
    rgb.convert("P").save(folder / "palette.png")
    Image.frombytes("I;16", (32, 24), noise[: 32 * 24 * 2]).save(folder / "deep.png")
    interlaced = ("-i", str(folder / "rgb.png"), "-pix_fmt", "rgb48be", "-flags", "+ildct")
    run_ffmpeg(["-y", *interlaced, str(folder / "interlaced.png")], error=VideoError, what="interlaced")
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    rgb.save(folder / "turned.jpg", exif=exif)
    rgb.save(folder / "progressive.jpg", progressive=True)
    rgb.save(folder / "lossless.webp", lossless=True)
    rgb.save(folder / "packed.tif", compression="tiff_lzw")


def _weights(folder: Path) -> None:
    """A checkpoint of each form, both layouts of a Whisper model, and a bundle."""
    tensors = {f"layer.{number}.weight": torch.full((8, 4 + number), 0.5) for number in range(4)}
    save_file(tensors, folder / "weights.safetensors", metadata={"format": "pt"})
    torch.save({"state_dict": tensors}, folder / "zipped.pt")
    torch.save(tensors, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    model = smallest_model()
    save_bundle(model, folder / "bundle")
    dims, state = whisper_dims(model.whisper), whisper_state(model.whisper)
    for name in ("whisper", "hugging_face"):
        (folder / name).mkdir()
    torch.save({"dims": dims, "model_state_dict": state}, folder / "whisper" / "tiny.pt")
    config = {hugging_face_key: dims[openai_key] for hugging_face_key, openai_key in HUGGING_FACE_DIMS.items()}
    (folder / "hugging_face" / "config.json").write_text(json.dumps(config))
    weights = {f"encoder.{key}": tensor for key, tensor in model.whisper.encoder.state_dict().items()}
    save_file(weights, folder / "hugging_face" / "model.safetensors")


def _faces(folder: Path) -> None:
    embedding = np.linspace(-1, 1, 128, dtype=np.float32)
    tracks = [make_track(0, 0, 12, gap=range(4, 7), embedding=embedding), make_track(1, 12, 20, person=1, by_hand=True)]
    folder.mkdir()
    write_faces(made_faces(faces_clip(), tracks), folder / f"seed{SUFFIX}")
