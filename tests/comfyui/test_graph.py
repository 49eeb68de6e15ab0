"""The five stages in a real ComfyUI: every kind of clip and voice comes out whole, and untouched where no mouth is."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.compositor import face_layer, paste_region
from latentsync_core.compositing.layer import full_frame_matte
from latentsync_core.errors import VideoError
from latentsync_core.faces.crop_path import path_transforms
from latentsync_core.faces.tracking.find_tracks import track_faces
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.models.loading.untrained import RESOLUTION
from latentsync_core.video.clip import Clip
from latentsync_core.video.reading.probing import probe
from tests.clips import packet_times, raw_planes
from tests.comfyui.harness.find import PACK
from tests.comfyui.harness.graphs import FRAMES, MODEL, SECONDS, SIZE, Graph, shown_json


@pytest.fixture
def graph(dub) -> Graph:
    return Graph(dub)


def sound_seconds(path) -> float:
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        return sum(frame.samples for frame in file.decode(sound)) / sound.rate


def luma(path) -> np.ndarray:
    """(frames, height, width) of the decoded Y plane."""
    clip = probe(path)
    return np.stack([planes[0] for planes in raw_planes(path, clip.pixel_format, clip.width, clip.height)])


def video_packets(path) -> list[str]:
    """Stamp, size and checksum of every packet of the picture."""
    arguments = ["-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = run_ffmpeg(arguments, error=VideoError, what="listing packets").decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def done(dub):
    """One run of the whole chain in two steps, with settings that no other test has: nothing is in the cache."""
    graph = Graph(dub)
    graph.save(graph.stages(model=graph.model(precision="fp32"), faces={"face_shift": 0.01}, sampler={"steps": 2}))
    return graph.run()


def test_every_frame_comes_back_at_its_time(dub, done):
    (saved,) = dub.files(done, "save")
    assert packet_times(saved) == packet_times(dub.input / "clip.mp4")
    clip = probe(saved)
    assert (clip.frame_count, clip.fps, clip.width, clip.height) == (FRAMES, Fraction(25), *SIZE)


def test_the_voice_is_in_the_file(dub, done):
    assert sound_seconds(dub.files(done, "save")[0]) == pytest.approx(SECONDS, abs=0.05)


def test_save_video_copies_the_packets(dub, done):
    (shown,), (saved,) = dub.files(done, "composite"), dub.files(done, "save")
    assert shown.is_relative_to(dub.temp / "latentsync_dub")
    assert video_packets(saved) == video_packets(shown)


def test_every_stage_shows_its_progress(done):
    for name in ("model", "faces", "heard", "sampler", "composite"):
        shown = done.progress(name)
        assert shown[-1][0] == shown[-1][1] > 0, name
    assert len(done.progress("sampler")) >= 2


def test_the_mouth_is_seen_while_it_is_drawn(done):
    previews = [m for m in done.previews if m.data.get("node_id") == "sampler"]
    assert previews
    with Image.open(io.BytesIO(previews[0].picture)) as face:
        assert face.width == face.height >= 128


def test_prepare_faces_shows_what_it_found(dub, done):
    with Image.open(dub.files(done, "faces")[0]) as sheet:
        assert sheet.width > SIZE[0]
    assert done.outputs["faces"]["text"] == [f"{FRAMES} of {FRAMES} frames synced; 1 shot, 1 track, 1 person"]


def test_untouched_samples_of_a_file_stay_bit_exact(dub, graph):
    """In every plane, nothing changes where the patch isn't; where it is, every frame does."""
    source = dub.input / "lossless.mkv"
    graph.stages(clip=graph.clip(source.name))
    result = graph.lossless()
    clip = probe(source)
    assert probe(result).pixel_format == clip.pixel_format
    frames = (raw_planes(path, clip.pixel_format, *SIZE) for path in (source, result))
    for before, after, shown in zip(*frames, patches(clip), strict=True):
        for one, other in zip(before, after, strict=True):
            inside = shown if one.shape == shown.shape else shown.reshape(-1, 2, SIZE[0] // 2, 2).any(axis=(1, 3))
            assert np.array_equal(one[~inside], other[~inside])
            assert not np.array_equal(one[inside], other[inside])


def patches(clip: Clip) -> Iterator[np.ndarray]:
    """For every frame, where the patch shows: (H, W) bool, a chroma sample wider for rounding and filters."""
    options, nothing = CompositeOptions(), torch.zeros(3, RESOLUTION, RESOLUTION)
    for transform in path_transforms(track_faces(clip), RESOLUTION):
        layer = face_layer(transform, nothing, RESOLUTION, SIZE, options, paste_region(RESOLUTION, options))
        matte = full_frame_matte((layer.roi, layer.alpha), *SIZE)
        grown = torch.nn.functional.max_pool2d(matte[None], kernel_size=5, stride=1, padding=2)
        yield grown[0].numpy() > 0


def test_graph_and_command_line_draw_the_same_frames(dub, graph, tmp_path):
    options = {"seed": 77, "steps": 2, "cfg": 1.5, "scheduler": "dpm++ 2m"}
    graph.stages(clip=graph.clip("longer.mp4"), trepa={"overlap": 4}, sampler=options)
    of_graph = graph.lossless()
    files = ["--video", str(dub.input / "longer.mp4"), "--audio", str(dub.input / "voice.flac")]
    files += ["--out", str(tmp_path / "out.mkv"), "--codec", "ffv1", "--model", "untrained", "--overlap", "4"]
    files += ["--quality", "custom"]
    drawn = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "latentsync_core", "sync", *files, *drawn, "--json"], cwd=PACK, check=True)
    for one, other in zip(*(raw_planes(p, "yuv420p", *SIZE) for p in (of_graph, tmp_path / "out.mkv")), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def of_file(dub):
    graph = Graph(dub)
    graph.stages()
    return luma(graph.lossless())


def test_a_clip_of_bytes_gives_the_same_frames(graph, of_file):
    graph.stages(clip=graph.add("TestVideoOfBytes", file="clip.mp4"))
    assert np.array_equal(luma(graph.lossless()), of_file)


def test_bytes_are_written_once_into_our_own_folder(dub, graph):
    for seed in (1, 2):
        graph.stages(clip=graph.add("TestVideoOfBytes", file="clip.mp4"), faces={"face_shift": seed / 100})
        graph.run()
    assert len(list((dub.temp / "latentsync_dub" / "clips").iterdir())) == 1


def test_a_cut_clip_is_cut(dub, graph, of_file):
    if "Video Slice" not in dub.object_info():
        pytest.skip(f"ComfyUI {dub.comfy.version} cannot cut a VIDEO")
    cut = graph.add("Video Slice", video=graph.clip(), start_time=0.12, duration=0.2)
    graph.stages(clip=cut)
    path = graph.lossless()
    assert packet_times(path) == [Fraction(n, 25) for n in range(5)]
    touched = luma(path) != luma(dub.input / "clip.mp4")[3:8]
    assert touched.any(axis=(1, 2)).all()
    assert touched.mean() < 0.2, "the frames are those of the cut"


def test_a_clip_with_pending_edits_is_taken_as_edited(dub, graph):
    graph.stages(clip=graph.add("TestEditedVideo", file="clip.mp4", edited="mirrored.mp4"))
    assert (luma(graph.lossless()) != luma(dub.input / "mirrored.mp4")).mean() < 0.2


def test_a_clip_made_of_images_keeps_its_rate(dub, graph):
    video = graph.add("CreateVideo", images=graph.images(), fps=24.0, audio=graph.voice())
    graph.save(graph.stages(clip=video))
    saved = dub.files(graph.run(), "save")[0]
    assert packet_times(saved) == [Fraction(n, 24) for n in range(FRAMES)]


def test_images_shown_at_a_film_rate(dub, graph):
    graph.save(graph.stages(clip=graph.images(), faces={"fps": 23.976}))
    saved = dub.files(graph.run(), "save")[0]
    assert probe(saved).fps == Fraction(24000, 1001)
    assert packet_times(saved) == [n * Fraction(1001, 24000) for n in range(FRAMES)]


def test_images_with_alpha(graph):
    video = graph.stages(clip=graph.add("TestAddAlpha", image=graph.images()))
    graph.add("TestImageFacts", "facts", images=[video[0], 2])
    assert shown_json(graph.run(), "facts")["shape"] == [FRAMES, SIZE[1], SIZE[0], 3]


def test_a_picture_talks_as_long_as_the_voice(dub, graph):
    picture = graph.add("TestFirstImages", image=graph.images(), count=1)
    graph.save(graph.stages(clip=picture, sampler={"length": "hold"}))
    saved = dub.files(graph.run(), "save")[0]
    assert probe(saved).frame_count == FRAMES


def test_untouched_values_of_images_stay_equal_floats(graph):
    images = graph.add("TestBeyondWhite", image=graph.images())
    video = graph.stages(clip=images)
    graph.add("TestCompare", "compared", first=images, second=[video[0], 2], mask=[video[0], 1])
    found = shown_json(graph.run(), "compared")
    assert found["frames"] == found["frames that differ"] == FRAMES
    assert 0.005 < found["inside"] < 0.2
    assert found["pixels that differ outside"] == 0


@pytest.mark.parametrize("kind", ["lazy", "float64", "5.1"])
def test_an_awkward_voice_drives_the_same_mouth(graph, of_file, kind):
    """All three hold the same sound as the file."""
    graph.stages()
    awkward = graph.add("TestAwkwardAudio", audio=graph.voice(), kind=kind)
    graph.prompt["heard"]["inputs"]["audio"] = awkward
    difference = np.abs(luma(graph.lossless()).astype(int) - of_file)
    assert difference.max() <= (2 if kind == "5.1" else 0)


@pytest.mark.parametrize("kind", ["lazy", "float64", "5.1"])
def test_an_awkward_mix_goes_into_the_file(dub, graph, kind):
    mix = graph.add("TestAwkwardAudio", audio=graph.voice("stereo.wav", "mix"), kind=kind)
    graph.stages(composite={"mux_audio": mix})
    (shown,) = dub.files(graph.run(), "composite")
    with av.open(str(shown)) as file:
        sound = file.streams.audio[0]
        assert sound.rate == 44100
        assert sound.codec_context.layout.nb_channels == (6 if kind == "5.1" else 2)


def test_faces_go_through_an_upscaler_and_back(dub, graph):
    graph.stages()
    crops = graph.add("LatentSyncDubDecodeFaces", "decoded", synced=["sampler", 0])
    larger = graph.add("ImageScaleBy", "larger", image=crops, upscale_method="lanczos", scale_by=2.0)
    graph.add("TestImageFacts", "facts", images=larger)
    synced = graph.add("LatentSyncDubReplaceFaces", "replaced", synced=["sampler", 0], crops=larger)
    graph.prompt["composite"]["inputs"]["synced"] = synced
    run = graph.run()
    assert shown_json(run, "facts")["shape"] == [FRAMES, 2 * RESOLUTION, 2 * RESOLUTION, 3]
    assert probe(dub.files(run, "composite")[0]).frame_count == FRAMES


def test_a_restorers_cast_is_taken_back_where_colours_are_matched(dub, graph):
    """Core's nodes as a restorer: the crops are enlarged, sharpened and mixed with white."""
    matched = {"region": "mouth", "match_color": 1.0, "match_grain": 1.0}
    graph.stages(composite=matched)
    crops = graph.add("LatentSyncDubDecodeFaces", "decoded", synced=["sampler", 0])
    larger = graph.add("ImageScaleBy", "larger", image=crops, upscale_method="lanczos", scale_by=2.0)
    sharper = graph.add("ImageSharpen", "sharper", image=larger, sharpen_radius=1, sigma=1.0, alpha=0.5)
    white = graph.add(
        "EmptyImage", "white", width=2 * RESOLUTION, height=2 * RESOLUTION, batch_size=FRAMES, color=0xFFFFFF
    )
    mixed = graph.add("ImageBlend", "mixed", image1=sharper, image2=white, blend_factor=0.15, blend_mode="normal")
    synced = graph.add("LatentSyncDubReplaceFaces", "replaced", synced=["sampler", 0], crops=mixed)
    graph.add("LatentSyncDubComposite", "restored", synced=synced, **matched)
    graph.add("LatentSyncDubComposite", "unmatched", synced=synced, region="mouth", match_color=0.0, match_grain=0.0)
    run = graph.run()
    plain, restored, unmatched = (
        luma(dub.files(run, name)[0]).astype(float) for name in ("composite", "restored", "unmatched")
    )
    inside = np.abs(unmatched - plain).max(0) > 8
    assert inside.sum() > 100
    cast = (unmatched - plain)[:, inside].mean(1)
    left = (restored - plain)[:, inside].mean(1)
    assert np.abs(cast).min() > 8
    assert np.abs(left).max() < 0.2 * np.abs(cast).min()


@pytest.mark.parametrize("choices", [{"reference_mouth": "closed", "mask_grow": 5.0}, {"expression": 0.5}], ids=str)
def test_choices_of_the_mouth_arrive_in_both_nodes(dub, graph, choices):
    options = {"seed": 5, "steps": 1, "cfg": 1.0, "quality": "custom"}
    graph.stages(sampler=choices)
    graph.add("LatentSyncDubLipSync", "one", clip=["clip", 0], audio=["voice", 0], model=MODEL, **options, **choices)
    graph.add("LatentSyncDubLipSync", "plain", clip=["clip", 0], audio=["voice", 0], model=MODEL, **options)
    run = graph.run()
    of_stages, of_one, plain = (video_packets(dub.files(run, name)[0]) for name in ("composite", "one", "plain"))
    assert of_one == of_stages
    assert of_one != plain


def test_a_line_that_is_changed_changes_its_frames_alone_in_both_nodes(dub, graph):
    options = {"seed": 5, "steps": 1, "cfg": 1.0, "quality": "custom"}
    half = FRAMES // 2

    def lines_of(**settings) -> list:
        parts = [{"start": 0, "end": half / 25}, {"start": half / 25, "end": FRAMES / 25, **settings}]
        return graph.add("LatentSyncDubDialogueLines", "lines", text=json.dumps(parts))

    graph.stages(sampler={"lines": lines_of()})
    graph.add(
        "LatentSyncDubLipSync", "one", clip=["clip", 0], audio=["voice", 0], model=MODEL, lines=["lines", 0], **options
    )
    run = graph.run()
    assert video_packets(dub.files(run, "one")[0]) == video_packets(dub.files(run, "composite")[0])
    first = luma(graph.lossless())
    lines_of(seed=6)
    second = luma(graph.lossless())
    assert (first != second).any((1, 2)).tolist() == [False] * half + [True] * (FRAMES - half)


def test_one_node_does_the_same_as_the_stages(dub, graph):
    options = {"seed": 5, "steps": 1, "cfg": 1.0, "quality": "custom"}
    graph.stages()
    graph.add("LatentSyncDubLipSync", "one", clip=["clip", 0], audio=["voice", 0], model=MODEL, **options)
    run = graph.run()
    (of_stages,), (of_one,) = dub.files(run, "composite"), dub.files(run, "one")
    assert video_packets(of_one) == video_packets(of_stages)


def test_clip_audio_is_the_clips_own_sound(dub, graph):
    graph.stages(composite={"mux_audio": graph.add("LatentSyncDubClipAudio", "own", video=graph.clip())})
    (shown,) = dub.files(graph.run(), "composite")
    assert sound_seconds(shown) == pytest.approx(SECONDS, abs=0.05)
