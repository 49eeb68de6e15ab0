"""The demo: dubs a French film scene into English, and shows it before and after in a picture and a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..audio.source import load_audio
from ..errors import AudioError
from ..files.output_checks import check_no_overwrite
from ..files.scratch import ScratchFolder
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_input, ffmpeg_output
from ..models.loading.demonstration import NANO
from ..pipeline import SyncReport, sync
from ..progress import PhaseProgress
from ..sample_scene import LINES, MUSIC_AND_EFFECTS, SAMPLE, SCENE, VOICE
from ..sampling.sampler_options import Quality
from ..sync_options import SyncOptions
from ..video.reading.probing import probe
from ..video.writing.encoding import output_path
from ..video.writing.writer_options import Codec
from .before_after import SpokenLine, write_before_after
from .compare import Caption, write_compare


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves beside its result."""

    sheet: Path  # PNG: faces before and after, above the voice
    comparison: Path  # MP4: the scene and the result side by side


def run_demo(out: str | Path, on_progress: PhaseProgress | None = None) -> tuple[SyncReport, DemoFiles]:
    """Dubs the sample scene into `out`, making its folder; beside it go OUT's name as PNG, and compare.mp4."""
    out = output_path(out, Codec.H264)
    files = DemoFiles(out.with_suffix(".png"), comparison_path(out))
    check_no_overwrite(
        (out, files.sheet, files.comparison), (("part of the carried sample", file) for file in SAMPLE.iterdir())
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with ScratchFolder() as folder:
        mix = _mix_audio(VOICE, MUSIC_AND_EFFECTS, folder / "mix.wav")
        options = SyncOptions(model=NANO, quality=Quality.RECOMMENDED, mux_audio=mix)
        report = sync(SCENE, VOICE, out, options, on_progress)
    scene, result = probe(SCENE), probe(report.output)
    spoken = [SpokenLine(line.start, line.end, line.english) for line in LINES]
    write_before_after(scene, result, load_audio(VOICE), files.sheet, spoken, synced_frames(report))
    captions = [Caption(line.start, line.end, line.french, line.english) for line in LINES]
    write_compare(SCENE, report.output, files.comparison, captions)
    return report, files


def comparison_path(out: Path) -> Path:
    """Where the clip before and after goes: compare.mp4, or another name if the result has that one."""
    name = "compare.mp4" if out.name.lower() != "compare.mp4" else "before-after.mp4"
    return out.with_name(name)


def synced_frames(report: SyncReport) -> list[int]:
    """The indices of the frames in which the first speaker's mouth was generated in full."""
    ranges = (one["frames"] for one in report.faces[0]["frame_ranges"] if one["outcome"] == "synced")
    return [index for first, stop in ranges for index in range(first, stop)]


def _mix_audio(voice: Path, background: Path, target: Path) -> Path:
    """A mono voice in the middle over a stereo track, neither made quieter."""
    graph = "[0:a]aresample=48000,pan=stereo|c0=c0|c1=c0[voice];[voice][1:a]amix=inputs=2:normalize=0:duration=first"
    inputs = [*ffmpeg_input(voice, AudioError), *ffmpeg_input(background, AudioError)]
    arguments = [*inputs, "-filter_complex", graph, "-c:a", "pcm_s24le", ffmpeg_output(target)]
    run_ffmpeg(arguments, error=AudioError, what="Can't mix the sample's sound")
    return target
