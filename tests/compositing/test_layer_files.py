"""Matte and layer files lie over the clip, frame by frame, and make the result; a failure leaves nothing."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.compositing.layer import Layer
from latentsync_core.compositing.png_layers import PngLayerWriter, png_bytes
from latentsync_core.compositing.prores_layers import LayerWriter, MatteWriter
from latentsync_core.compositing.rendering import render
from latentsync_core.errors import OutputError, VideoError
from latentsync_core.imaging.roi import Roi
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.video.reading.frame_sequence import FrameSequence
from latentsync_core.video.reading.probing import clip_from_images, probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import CODECS, make_clip
from tests.synced_faces import synced_faces

FFV1 = ("-c:v", "ffv1")
WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A 10-bit clip, its rendered frames and the three files of them, made in one pass."""
    folder = tmp_path_factory.mktemp("layers")
    made = make_clip(
        folder / "in.mkv",
        pixel_format="yuv444p10le",
        size=(WIDTH, HEIGHT),
        frames=4,
        rate=Fraction(24000, 1001),
        encoder=FFV1,
        smooth=True,
        params="range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    )
    clip = probe(made)
    synced = synced_faces(clip, without_face=(2,))
    with (
        synced.patches,
        MatteWriter(folder / "matte", clip, pts=synced.pts) as matte,
        LayerWriter(folder / "layer", clip, pts=synced.pts) as layer,
        PngLayerWriter(folder / "pictures", clip, frames=len(synced.pts)) as pictures,
    ):
        rendered = []
        for one in render(synced):
            matte.write(one.matte)
            layer.write(one.layer)
            pictures.write(one.layer)
            rendered.append(one)
    return clip, rendered, matte.path, layer.path, pictures.path


def four_planes(path, width=WIDTH, height=HEIGHT):
    """(frames, 4, H, W) Y, Cb, Cr and alpha, 10 bits."""
    args = ["-noautorotate", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", "yuva444p10le", "-f", "rawvideo"]
    data = run_ffmpeg([*args, "-"], error=VideoError, what="decoding")
    return np.frombuffer(data, "<u2").reshape(-1, 4, height, width)


def sources(clip):
    with FrameSequence(clip) as sequence:
        return list(sequence.frames(range(clip.frame_count)))


def read(path):
    clip = probe(path)
    with FrameReader(clip) as frames:
        return clip, list(frames)


def test_the_layer_over_the_clip_makes_the_result_within_two_levels(job):
    clip, rendered, _, path, _ = job
    for planes, source, one in zip(four_planes(path), sources(clip), rendered, strict=True):
        alpha = planes[3] / 1023
        for layer, old, result in zip(planes, source.planes, one.frame.planes, strict=False):
            assert np.abs((1 - alpha) * old + alpha * layer - result).max() / 4 <= 2
        assert np.abs(alpha - one.matte.numpy()).max() < 0.001
        assert not planes[3][one.matte.numpy() == 0].any()


def test_the_matte_over_the_clip_makes_the_result_within_two_levels(job):
    clip, rendered, path, _, _ = job
    matte_clip, mattes = read(path)
    assert matte_clip.pixel_format == "yuv422p10le"
    for matte, source, one in zip(mattes, sources(clip), rendered, strict=True):
        alpha = np.clip((matte.planes[0].astype(float) - 64) / 876, 0, 1)
        assert np.abs(alpha - one.matte.numpy()).max() < 0.008
        patch = source.copy()
        patch.paste(Roi(0, 0, WIDTH, HEIGHT), one.rgba[:3], torch.ones(HEIGHT, WIDTH))
        for layer, old, result in zip(patch.planes, source.planes, one.frame.planes, strict=True):
            assert np.abs((1 - alpha) * old + alpha * layer - result).max() / 4 <= 2


def test_pictures_hold_the_layer_to_their_last_bit(job):
    _, rendered, _, _, folder = job
    assert [path.name for path in sorted(folder.iterdir())] == [f"pictures_{index:06d}.png" for index in range(4)]
    args = ["-i", str(folder / "pictures_%06d.png"), "-pix_fmt", "rgba64be", "-f", "rawvideo", "-"]
    decoded = run_ffmpeg(args, error=VideoError, what="decoding")
    for levels, one in zip(np.frombuffer(decoded, ">u2").reshape(-1, HEIGHT, WIDTH, 4), rendered, strict=True):
        assert np.abs(levels / 65535 - one.rgba.movedim(0, -1).numpy()).max() < 1e-5


def test_every_file_has_the_clips_frames_stamps_and_rate(job):
    clip, _, matte, layer, _ = job
    for path in (matte, layer):
        shown = run_ffmpeg(
            ["-i", str(path), "-map", "0:v", "-c", "copy", "-f", "framecrc", "-"], error=VideoError, what="listing"
        ).decode()
        ticks = [int(line.split(",")[2]) for line in shown.splitlines() if not line.startswith("#")]
        base = next(Fraction(line.split(":")[1].strip()) for line in shown.splitlines() if line.startswith("#tb"))
        assert [tick * base for tick in ticks] == [int(pts) * clip.time_base for pts in clip.pts]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_mattes_of_any_size_reach_every_codec(tmp_path, codec, size):
    clip = clip_from_images(torch.rand(2, size[1], size[0], 3), Fraction(25))
    matte = torch.linspace(0, 1, size[0]).expand(size[1], -1)
    options = WriterOptions(codec, preset="ultrafast")
    with MatteWriter(tmp_path / "matte", clip, options=options, pts=clip.pts) as out:
        for _ in range(2):
            out.write(matte)
    back, frames = read(out.path)
    assert (back.width, back.height, back.fps) == (*size, clip.fps)
    for frame in frames:
        assert (frame.rgb() - matte).abs().max() < (0.001 if codec is Codec.FFV1 else 0.02)


@pytest.mark.parametrize(("rotation", "mirrored"), [(0, False), (90, False), (180, True), (270, True)])
def test_a_turned_clips_files_are_turned_with_it(tmp_path, rotation, mirrored):
    clip = probe(make_clip(tmp_path / "in.mp4", size=(64, 48), frames=2, rotation=rotation, mirrored=mirrored))
    layer = Layer(Roi(4, 6, 24, 16), torch.full((3, 10, 20), 0.5), torch.linspace(0.2, 1, 20).expand(10, 20))
    expected = layer.rgba(clip.width, clip.height)
    with (
        MatteWriter(tmp_path / "matte", clip, pts=clip.pts) as matte,
        LayerWriter(tmp_path / "layer", clip, pts=clip.pts) as over,
    ):
        for _ in range(2):
            matte.write(expected[3])
            over.write(layer)
    back, frames = read(matte.path)
    assert back.rotation == clip.rotation == rotation
    assert back.mirrored == clip.mirrored == mirrored
    assert (frames[0].rgb() - expected[3]).abs().max() < 0.02
    alpha = four_planes(over.path, 64, 48)[1, 3] / 1023
    turned = np.rot90(alpha, -(rotation // 90))
    assert np.abs((turned[:, ::-1] if mirrored else turned) - expected[3].numpy()).max() < 0.001


@pytest.mark.parametrize("deep", [False, True])
def test_a_png_is_read_by_others_as_it_was_meant(tmp_path, deep):
    rgba = torch.rand(4, 7, 5, generator=torch.Generator().manual_seed(1))
    (tmp_path / "a.png").write_bytes(png_bytes(rgba, deep=deep))
    levels = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    assert np.abs(levels / 255 - rgba.movedim(0, -1).numpy()).max() < 0.005


def test_a_failure_or_a_cancel_leaves_nothing(tmp_path):
    clip = clip_from_images(torch.rand(3, 48, 64, 3), Fraction(25))
    writers = [
        MatteWriter(tmp_path / "matte", clip, pts=clip.pts),
        LayerWriter(tmp_path / "layer", clip, pts=clip.pts),
        PngLayerWriter(tmp_path / "pictures", clip, frames=3),
    ]
    for writer in writers:
        empty = torch.zeros(48, 64) if isinstance(writer, MatteWriter) else None
        with pytest.raises(OutputError, match="Only 0 of 3"), writer:
            pass
        with pytest.raises(KeyboardInterrupt), writer as out:
            _write_and_cancel(out, empty)
        assert not list(tmp_path.iterdir())


def _write_and_cancel(out, one):
    out.write(one)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "no room left"), (errno.EIO, "Can't write .*pictures: Input/output error")]
)
def test_pictures_that_cant_be_written_are_a_clear_error_that_leaves_nothing(tmp_path, monkeypatch, number, message):
    def failing(*_args):
        raise OSError(number, os.strerror(number))

    clip = clip_from_images(torch.rand(1, 48, 64, 3), Fraction(25))
    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(OutputError, match=message), PngLayerWriter(tmp_path / "pictures", clip, frames=1) as out:
        out.write(None)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_pictures_is_never_overwritten(tmp_path):
    clip = clip_from_images(torch.rand(1, 48, 64, 3), Fraction(25))
    (tmp_path / "pictures").mkdir()
    with pytest.raises(OutputError, match="already"), PngLayerWriter(tmp_path / "pictures", clip, frames=1):
        pass
