"""Whatever a result is stored as, its proxy plays in a page and looks like it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from latentsync_core.errors import OutputError, VideoError
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.proxy import (
    HDR_TRANSFERS,
    _filters,
    _stream_info,
    _supports_color_conversion,
    is_browser_playable,
    write_proxy,
)
from tests.clips import make_clip, make_sound, packet_times

LOSSLESS = ("-c:v", "ffv1")


def pictures(path):
    with FrameReader(probe(path)) as frames:
        return [frame.rgb() for frame in frames]


@pytest.mark.parametrize(
    ("name", "pixel_format", "sound", "plays"),
    [
        ("a.mp4", "yuv420p", None, True),
        ("a.mp4", "yuv420p", ("-c:a", "aac"), True),
        ("a.mov", "yuv420p", ("-c:a", "pcm_s16le"), False),
        ("a.mkv", "yuv420p", None, False),
        ("a.mp4", "yuv420p10le", None, False),
        ("a.mp4", "yuv444p", None, False),
    ],
)
def test_what_a_page_can_play_is_known(tmp_path, name, pixel_format, sound, plays):
    assert is_browser_playable(make_clip(tmp_path / name, pixel_format=pixel_format, audio=sound)) is plays


SOURCES = {
    "full range": {"pixel_format": "yuv420p", "params": "range=pc:colorspace=bt709"},
    "ten bits": {"pixel_format": "yuv422p10le", "params": "range=tv:colorspace=bt709"},
    "bt601": {"pixel_format": "yuv420p", "params": "range=tv:colorspace=smpte170m"},
    "untagged": {"pixel_format": "yuv420p"},
    "bt2020": {"pixel_format": "yuv420p10le", "params": "range=tv:colorspace=bt2020nc"},
    "rgb": {"pixel_format": "gbrp"},
}


@pytest.mark.parametrize("source", SOURCES)
def test_colours_are_the_sources(tmp_path, source):
    path = make_clip(tmp_path / "in.mkv", size=(320, 240), frames=3, encoder=LOSSLESS, smooth=True, **SOURCES[source])
    proxy = write_proxy(path, tmp_path / "proxy.mp4")
    assert is_browser_playable(proxy)
    for ours, theirs in zip(pictures(proxy), pictures(path), strict=True):
        assert ours.shape == theirs.shape
        difference = ours - theirs
        assert difference.abs().mean() < 0.015
        assert (difference.mean((1, 2)).abs() < 0.01).all(), "no channel drifts"


def make_hdr(path, transfer):
    tags = f"range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}"
    format_and_size = {"pixel_format": "yuv420p10le", "size": (320, 240), "frames": 2}
    return make_clip(path, **format_and_size, encoder=LOSSLESS, params=tags, smooth=True)


@pytest.mark.parametrize("transfer", sorted(HDR_TRANSFERS))
def test_every_hdr_transfer_is_mapped_by_ffmpeg_where_it_can(tmp_path, transfer):
    filters = _filters(_stream_info(make_hdr(tmp_path / "in.mkv", transfer)), height=480)
    mapped = "out_primaries=bt709:out_transfer=bt709:intent=perceptual:out_color_matrix=bt709" in filters
    assert mapped == _supports_color_conversion()
    assert mapped or "out_color_matrix=bt2020" in filters


@pytest.mark.parametrize("transfer", ["smpte2084", pytest.param("arib-std-b67", marks=pytest.mark.slow)])
def test_hdr_is_brought_into_the_pages_range_and_stays_ordered(tmp_path, transfer):
    """ffmpeg takes seconds for its table of a mapping; HLG's alone is slow.

    Quick: test_every_hdr_transfer_is_mapped_by_ffmpeg_where_it_can.
    """
    if not _supports_color_conversion():
        pytest.skip("this ffmpeg's scaler converts neither primaries nor transfer functions")
    path = make_hdr(tmp_path / "in.mkv", transfer)
    proxy = probe(write_proxy(path, tmp_path / "proxy.mp4"))
    assert (proxy.color.matrix, proxy.color.transfer, proxy.color.primaries) == ("bt709", "bt709", "bt709")
    ours, theirs = pictures(tmp_path / "proxy.mp4")[0].mean(0), pictures(path)[0].mean(0)
    assert np.corrcoef(ours.flatten(), theirs.flatten())[0, 1] > 0.8
    assert 0.1 < ours.mean() < 0.9


def test_it_is_small_upright_square_and_at_the_same_times(tmp_path):
    path = make_clip(
        tmp_path / "in.mp4", size=(640, 360), rotation=90, sample_aspect="4/3", frames=12, pts="400*N+37*N*N"
    )
    proxy = probe(write_proxy(path, tmp_path / "proxy.mp4", height=200))
    assert (proxy.height, proxy.rotation, proxy.sample_aspect) == (200, 0, 1)
    assert proxy.width == pytest.approx(200 * 360 / (640 * 4 / 3), abs=2)
    assert [float(time) for time in packet_times(tmp_path / "proxy.mp4")] == pytest.approx(
        [float(time) for time in packet_times(path)], abs=1e-3
    )


@pytest.mark.parametrize("size", [(63, 47), (2, 2), (3, 9)])
def test_any_size_is_taken_and_none_is_enlarged(tmp_path, size):
    path = make_clip(tmp_path / "in.mkv", size=size, frames=2, encoder=LOSSLESS, pixel_format="yuv444p")
    proxy = write_proxy(path, tmp_path / "proxy.mp4")
    assert is_browser_playable(proxy)
    assert probe(proxy).height <= max(size[1], 2)


def test_sound_goes_along_and_progress_is_told(tmp_path):
    path = make_clip(tmp_path / "in.mov", frames=40, rate=Fraction(25), audio=("-c:a", "pcm_s24le"))
    told = []
    with av.open(str(write_proxy(path, tmp_path / "p.mp4", on_progress=lambda *at: told.append(at)))) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert told[-1] == (40, 40)


def test_a_cancel_or_a_failure_leaves_nothing(tmp_path):
    def cancel(*_at):
        raise KeyboardInterrupt

    path = make_clip(tmp_path / "in.mp4")
    with pytest.raises(KeyboardInterrupt):
        write_proxy(path, tmp_path / "proxy.mp4", on_progress=cancel)
    with pytest.raises(OutputError, match=r"nowhere"):
        write_proxy(path, tmp_path / "nowhere" / "proxy.mp4")
    sound = make_sound(tmp_path / "tone.wav")
    for wrong in (sound, tmp_path / "missing.mp4"):
        with pytest.raises(VideoError, match=wrong.name):
            is_browser_playable(wrong)
    assert {file.name for file in tmp_path.iterdir()} == {"in.mp4", "tone.wav"}
