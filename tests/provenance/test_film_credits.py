"""Every film says in its container which tool made it, and which model generated the lips; the same every time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync_core.cli.compare import write_compare
from latentsync_core.compositing.crediting import credits_for
from latentsync_core.compositing.prores_layers import LayerWriter, MatteWriter
from latentsync_core.compositing.rendering import render
from latentsync_core.errors import VideoError
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.provenance.film_credits import VERSION, FilmCredits
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.proxy import write_proxy
from latentsync_core.video.writing.writer import FrameWriter
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import make_clip
from tests.installed_tree import project_facts
from tests.synced_faces import synced_faces

FILE_CODECS = [codec for codec in Codec if codec is not Codec.MATCH_SOURCE and not codec.is_sequence]
LINE = f"AI-generated lips: LatentSync Dub {VERSION}, model nano"
NANO = FilmCredits("nano")
SIZE = (256, 120)  # DNxHR holds none that are smaller


def texts(path: Path) -> dict[str, str]:
    """What the container says of the whole file, as PyAV reads it; names in small letters."""
    with av.open(str(path)) as container:
        return {name.lower(): text for name, text in container.metadata.items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three frames of a film that has a title and a comment of its own."""
    folder = tmp_path_factory.mktemp("film")
    plain, titled = make_clip(folder / "plain.mp4", size=SIZE, frames=3), folder / "titled.mp4"
    tags = ["-metadata", "title=Scene 12; take = 3", "-metadata", "comment=An earlier program's"]
    run_ffmpeg(["-i", str(plain), "-c", "copy", *tags, str(titled)], error=VideoError, what="adding a title")
    return probe(titled)


def written(clip, path: Path, codec: Codec = Codec.H264, **more) -> Path:
    options = WriterOptions(codec, preset="ultrafast")
    writer = FrameWriter(path, clip, options=options, pts=clip.pts, **more)
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    return writer.path


@pytest.mark.parametrize("codec", FILE_CODECS)
def test_every_container_names_tool_version_and_model_beside_the_sources_title(clip, tmp_path, codec):
    found = texts(written(clip, tmp_path / "out", codec, credits=NANO))
    assert found["comment"] == LINE
    assert found["title"] == "Scene 12; take = 3"
    assert FilmCredits.of(found) == NANO
    assert not [name for name in found if "date" in name or "time" in name]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES])
def test_a_workflow_in_the_file_leaves_room_for_them(clip, tmp_path, codec):
    metadata = {"prompt": '{"1": "a=b;c"}', "workflow": "{}"}
    found = texts(written(clip, tmp_path / "out", codec, credits=NANO, metadata=metadata))
    assert {**metadata, "comment": LINE, "title": "Scene 12; take = 3"}.items() <= found.items()


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES, Codec.FFV1])
def test_a_repeated_run_writes_the_same_bytes(clip, tmp_path, codec):
    once, again = (written(clip, tmp_path / name, codec, credits=NANO).read_bytes() for name in ("once", "again"))
    assert once == again


def test_a_film_without_generated_lips_names_the_tool_alone(clip, tmp_path):
    found = texts(written(clip, tmp_path / "out.mkv", Codec.FFV1))
    assert found["comment"] == f"Written by LatentSync Dub {VERSION}"
    assert FilmCredits.of(found) is None


def test_the_patch_names_the_model_and_the_matte_the_tool(clip, tmp_path):
    synced = dataclasses.replace(synced_faces(clip), model="nano")
    with (
        synced.patches,
        MatteWriter(tmp_path / "matte", clip, pts=synced.pts) as matte,
        LayerWriter(tmp_path / "patch", clip, pts=synced.pts, credits=credits_for([synced])) as patch,
    ):
        for one in render(synced):
            matte.write(one.matte)
            patch.write(one.layer)
    assert texts(patch.path)["comment"] == LINE
    assert texts(matte.path)["comment"] == f"Written by LatentSync Dub {VERSION}"


def test_copies_for_looking_at_say_what_the_film_says(clip, tmp_path):
    film = written(clip, tmp_path / "film.mkv", Codec.FFV1, credits=NANO)
    assert texts(write_proxy(film, tmp_path / "proxy.mp4"))["comment"] == LINE
    before, after = Path(clip.name), written(clip, tmp_path / "film.mp4", credits=NANO)
    write_compare(before, after, tmp_path / "compare.mp4")
    assert texts(tmp_path / "compare.mp4")["comment"] == LINE
    assert "comment" not in texts(write_proxy(before, tmp_path / "other.mp4")), "another program's film is not ours"


@pytest.mark.parametrize("name", ["a\nb=c", "x\0y", "[CHAPTER]; #=\\", "模型 é", "n" * 300, "\ud800"])
def test_any_name_of_a_model_stays_one_line(clip, tmp_path, name):
    synced = dataclasses.replace(synced_faces(clip), model=name)
    credits = credits_for([synced])
    synced.patches.close()
    found = texts(written(clip, tmp_path / "out.mkv", Codec.FFV1, credits=credits))
    assert found["comment"].rstrip() == credits.text  # ffmpeg can't take a backslash at the end without a space
    assert credits.text.isprintable()
    assert FilmCredits.of({"comment": credits.text}) == credits
    assert found["title"] == "Scene 12; take = 3"


@pytest.mark.parametrize("codec", [Codec.H264, Codec.PRORES, Codec.FFV1])
def test_a_title_that_ends_with_a_backslash_leaves_the_comment_alone(clip, tmp_path, codec):
    titled = tmp_path / "titled.mp4"
    tags = ["-metadata", "title=D:\\films\\"]
    run_ffmpeg(["-i", clip.name, "-c", "copy", *tags, str(titled)], error=VideoError, what="adding a title")
    found = texts(written(probe(titled), tmp_path / "out", codec, credits=NANO))
    assert (found["title"].rstrip(), found["comment"]) == ("D:\\films\\", LINE)


def test_speakers_with_models_of_their_own_are_all_credited_and_one_who_never_shows_is_not(clip):
    nano, release, hidden = (
        dataclasses.replace(synced_faces(clip), model=name) for name in ("nano", "latentsync-1.6", "another")
    )
    hidden = dataclasses.replace(hidden, blend=np.zeros_like(hidden.blend))
    for one in (nano, release, hidden):
        one.patches.close()
    assert credits_for([nano, release, nano, hidden]).model == "nano, latentsync-1.6"
    assert credits_for([hidden]) == FilmCredits()


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "Written by LatentSync Dub 0.2.0",
        "AI-generated lips: Another 1.0, model x",
        f"{LINE}\nmore",
        LINE + "n" * 999,
    ],
)
def test_other_comments_are_not_taken_for_credits(comment):
    assert FilmCredits.of({"comment": comment}) is None


def test_the_version_is_the_projects():
    assert project_facts()["project"]["version"] == VERSION
