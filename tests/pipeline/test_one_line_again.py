"""One line regenerated: only its frames are sampled, rendered and encoded; all other packets are the same bytes.

In ProRes, DNxHR and FFV1, that is, whose frames are encoded each by itself.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync_core.audio.pause_options import PauseBehaviour
from latentsync_core.audio.source import load_audio
from latentsync_core.audio.wav import write_float_wav
from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.earlier_films import FilmRange, find_ranges, record_film
from latentsync_core.dubbing.lines.dialogue import DialogueLine, LineSettings
from latentsync_core.dubbing.lines.line_formats import LineFormat, write_lines
from latentsync_core.errors import DialogueError, OptionError, VideoError
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.media.ffmpeg import run_ffmpeg
from latentsync_core.media.opening import open_container
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.pipeline import SyncReport, sync
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sync_options import SyncOptions
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from latentsync_core.video.writing.writer_options import Codec, WriterOptions
from tests.clips import LOSSLESS
from tests.one_thread import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = 7
LONG = [(0, 2), (2, 15), (15, 17)]  # the second is so long that sound in its middle is far from the others
PARTS = [(0, 1), (1, 6), (6, 7)]  # the frames of three lines; the second fills no whole number of decoded batches
BEFORE, WITHIN, AFTER = (list(range(*part)) for part in PARTS)


def lines(*settings: dict, parts: list[tuple[int, int]] = PARTS) -> tuple[DialogueLine, ...]:
    return tuple(
        DialogueLine(Fraction(first, 25), Fraction(stop, 25), settings=LineSettings(**one))
        for (first, stop), one in zip(parts, settings, strict=True)
    )


class Job:
    """A short job that keeps its work; every take of it is a film of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self.voice = folder / "voice.wav"  # little more than the longest job takes
        run_ffmpeg(["-i", str(VOICE), "-t", "1.5", str(self.voice)], error=VideoError, what="cutting a voice")
        self.clip = folder / "scene.mkv"  # at half its size
        half = ["-y", "-i", str(SCENE), "-vf", "scale=iw/2:ih/2", "-frames:v", str(LONG[-1][1]), "-an", *LOSSLESS]
        run_ffmpeg([*half, str(self.clip)], error=VideoError, what="making a test clip")
        self._plain: dict[Codec, SyncReport] = {}
        self._options = SyncOptions(
            model=untrained_model(resolution=64),
            sampler=SamplerOptions(steps=1, cfg=1.0, windows=WindowOptions(frames=4)),
            limits=TouchLimits(fade_frames=1),
            end=FRAMES / 25,
            work_folder=folder / "work",
        )

    def run(
        self, *settings: dict, codec: Codec = Codec.FFV1, voice: Path | None = None, on_progress=None, **changes
    ) -> SyncReport:
        self._count += 1
        changes = {"writer": WriterOptions(codec), "lines": lines(*settings) if settings else None, **changes}
        options = dataclasses.replace(self._options, **changes)
        return sync(self.clip, voice or self.voice, self._folder / f"{self._count}{codec.suffix}", options, on_progress)

    def without_films(self, folder: Path) -> Path:
        """A copy of the work folder, with the faces found and drawn so far, that knows no earlier film."""
        self.plain()
        shutil.copytree(self._options.work_folder, folder, ignore=shutil.ignore_patterns("*.film.json"))
        return folder

    def plain(self, codec: Codec = Codec.FFV1) -> SyncReport:
        """The job without any line's setting, done once."""
        if codec not in self._plain:
            self._plain[codec] = self.run({}, {}, {}, codec=codec)
        return self._plain[codec]


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    return Job(tmp_path_factory.mktemp("job"))


@dataclass
class Regenerated:
    """The job once more, with a setting of its second line changed after a run without one."""

    settings: tuple[dict, dict, dict]
    report: SyncReport
    progress: list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def regenerated(job) -> Regenerated:
    job.plain()
    settings, progress = ({}, {"seed": 6}, {}), []  # a seed of no other test
    report = job.run(*settings, on_progress=lambda phase, done, total: progress.append((phase, done, total)))
    return Regenerated(settings, report, progress)


def packets(film: Path) -> list[tuple[int | None, bytes]]:
    """The picture's packets as the container holds them: time stamp and bytes."""
    with open_container(film, VideoError) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(container.streams.video[0]) if packet.size]


def differing(one: SyncReport, other: SyncReport) -> list[int]:
    """The frames whose packets are not the same."""
    return changed(packets(one.output), packets(other.output))


def changed(before: list, after: list) -> list[int]:
    """The places of what is not the same."""
    return [number for number, (first, second) in enumerate(zip(before, after, strict=True)) if first != second]


def luma(film: Path, frames: list[int]) -> np.ndarray:
    with FrameReader(probe(film)) as reader:
        return np.stack([frame.planes[0] for frame in reader if frame.index in frames])


@pytest.mark.parametrize(
    ("codec", "change"),
    [
        (Codec.FFV1, {"expression": 0.0}),
        (Codec.FFV1, {"pauses": PauseBehaviour.CLOSED}),
        (Codec.PRORES, {"seed": 5}),
    ],
    ids=lambda part: part.value if isinstance(part, Codec) else next(iter(part)),
)
def test_packets_before_and_after_a_regenerated_line_are_the_same_bytes(job, codec, change):
    first, second = job.plain(codec), job.run({}, change, {}, codec=codec)
    assert differing(first, second) == WITHIN


def test_another_seed_of_a_line_leaves_the_packets_before_and_after_it(job, regenerated):
    assert differing(job.plain(), regenerated.report) == WITHIN


def test_another_sound_of_a_line_leaves_the_packets_before_and_after_it(job, tmp_path):
    samples = load_audio(VOICE).mono16k()[round(0.44 * 16000) :]  # spoken in the middle of the second line
    takes = []
    for name in ("first", "second"):
        write_float_wav(tmp_path / f"{name}.wav", 16000, 1, len(samples), [samples[None]])
        takes.append(job.run(voice=tmp_path / f"{name}.wav", lines=lines({}, {}, {}, parts=LONG), end=None))
        middle = slice(round(0.3 * 16000), round(0.38 * 16000))  # the second line lasts from 0.08 to 0.6 s
        samples[middle] = samples[middle].flip(0)
    assert differing(*takes) == list(range(*LONG[1]))


def test_only_the_regenerated_line_is_sampled(regenerated):
    notes = map(str, regenerated.report.notes)
    assert "2 of 3 ranges were kept from an earlier run, sampled now: line 2 (frames 1 to 5)" in notes


def copied(report: SyncReport) -> int:
    """How many frames were copied from an earlier film."""
    found = [re.match(r"(\d+) of (\d+) frames were copied", note.fact) for note in report.notes]
    return next((int(match[1]) for match in found if match), 0)


def test_frames_of_the_other_lines_are_copied_from_any_earlier_film(job, regenerated):
    assert copied(regenerated.report) == FRAMES - len(WITHIN)
    assert copied(job.run({"seed": 22}, *regenerated.settings[1:])) == FRAMES - len(BEFORE)
    both = job.run({"seed": 22}, {}, {})  # from two films: neither has all of it
    assert copied(both) == FRAMES
    assert differing(both, job.plain()) == BEFORE


def test_progress_counts_every_frame_while_packets_are_copied_too(regenerated):
    counts = [done for phase, done, total in regenerated.progress if phase == "compositing" and total == FRAMES]
    assert counts == sorted(counts)
    assert set(counts) >= {len(WITHIN), FRAMES}
    assert len([done for done in counts if done > len(WITHIN)]) >= FRAMES - len(WITHIN)


def test_h264_is_encoded_again_whole(job):
    first, second = (job.run({}, {}, {}, codec=Codec.H264) for _ in range(2))
    assert copied(first) == copied(second) == 0


def test_another_way_of_compositing_or_encoding_copies_nothing(job):
    job.plain()
    assert copied(job.run({}, {}, {}, composite=CompositeOptions(feather=0.5))) == 0
    assert copied(job.run({}, {}, {}, codec=Codec.DNXHR)) == 0


def test_without_the_earlier_film_everything_is_rendered_to_the_same_packets(job, tmp_path):
    work = job.without_films(tmp_path / "work")
    films = [job.run({}, {}, {}, work_folder=work).output]
    expected = packets(films[0])
    for loss in ("film changed", "film removed", "records damaged"):
        for film in films:
            if loss == "film removed":
                film.unlink()
            elif loss == "film changed":
                with film.open("ab") as file:
                    file.write(b"more")
        for record in work.glob("*.film.json") if loss == "records damaged" else ():
            record.write_text('{"film": 5')
        again = job.run({}, {}, {}, work_folder=work)
        assert copied(again) == 0, loss
        assert packets(again.output) == expected, loss
        from_it = job.run({}, {}, {}, work_folder=work)
        assert copied(from_it) == FRAMES, loss
        films = [again.output, from_it.output]


def test_an_earlier_film_that_is_cut_short_under_its_own_size_and_time_is_not_trusted(job, regenerated, tmp_path):
    """Another program may have written over a film and set its times back."""
    work = job.without_films(tmp_path / "work")
    first = job.run({}, {}, {}, work_folder=work)
    before, facts = packets(first.output), first.output.stat()
    content = first.output.read_bytes()
    first.output.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    os.utime(first.output, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    again = job.run(*regenerated.settings, work_folder=work)
    assert copied(again) == 0
    assert [
        number for number, pair in enumerate(zip(packets(again.output), before, strict=True)) if pair[0] != pair[1]
    ] == WITHIN


def test_occlusions_of_copied_frames_are_still_reported(tmp_path):
    kept = FilmRange(0, 5, "some key", occluded=(2, 3))
    film = tmp_path / "film.mkv"
    film.write_bytes(b"a film")
    record_film(tmp_path, film, [kept, FilmRange(5, 9, "another")])
    assert find_ranges(tmp_path, {"some key"}) == {"some key": (film, kept)}


def test_the_first_and_the_last_line_leave_the_others_as_well(job):
    first = job.plain()
    assert differing(first, job.run({"seed": 5}, {}, {})) == BEFORE
    assert differing(first, job.run({}, {}, {"seed": 5})) == AFTER


def test_a_job_without_its_work_folder_comes_to_the_same_packets(job, regenerated, tmp_path):
    assert differing(regenerated.report, job.run(*regenerated.settings, work_folder=tmp_path / "another")) == []


def test_a_line_that_is_switched_off_keeps_its_frames_as_filmed_whatever_its_settings(job):
    off = job.run({}, {"enabled": False}, {})
    assert (luma(off.output, WITHIN) == luma(job.clip, WITHIN)).all()
    assert (WITHIN[0], WITHIN[-1] + 1) in off.passed_through
    assert any("switched off and left unchanged: line 2 (frames 1 to 5)" in note.fact for note in off.notes)
    others = {"seed": 9, "expression": 2.0, "pauses": PauseBehaviour.CLOSED}
    assert differing(off, job.run({}, {"enabled": False, **others}, {})) == []
    fades = [BEFORE[-1], AFTER[0]]  # within the fade_frames of its neighbours
    assert differing(off, job.plain()) == [fades[0], *WITHIN, fades[1]]


def test_lines_come_from_a_file_and_count_from_the_clips_first_frame(job, tmp_path):
    """A job that begins at the second line has the third in the same frames of the clip."""
    file = tmp_path / "lines.json"
    file.write_text(write_lines(lines({}, {}, {"enabled": False}), LineFormat.JSON))
    report = job.run(lines=file, start=PARTS[1][0] / 25)
    first = PARTS[2][0] - PARTS[1][0]
    assert report.passed_through == ((first, FRAMES - PARTS[1][0]),)


def test_a_line_after_the_clip_is_refused_before_the_work(job, tmp_path):
    file = tmp_path / "lines.json"
    late = DialogueLine(Fraction(1000), Fraction(1001), "late")
    file.write_text(write_lines([late], LineFormat.JSON))
    with pytest.raises(DialogueError, match="the clip ends at"):
        job.run(lines=file, model="no such model")


def test_a_lines_setting_out_of_its_range_is_refused_before_the_work(job):
    with pytest.raises(OptionError, match="line 2: expression is 3"):
        job.run({}, {"expression": 3.0}, {}, model="no such model", work_folder=None)


def test_without_lines_nothing_is_parted(job):
    whole = job.run()
    assert not any("earlier run" in note.fact for note in whole.notes)
    assert whole.synced_frames == FRAMES
