"""The demo: dubs a French film scene into English, and draws a picture of it before and after."""

from __future__ import annotations

from pathlib import Path

from ..audio.source import load_audio
from ..errors import AudioError
from ..files.output_checks import check_no_overwrite
from ..files.scratch import ScratchFolder
from ..media.ffmpeg import run_ffmpeg
from ..media.opening import ffmpeg_input, ffmpeg_output
from ..models.loading.demonstration import NANO
from ..pipeline import SyncOptions, SyncReport, sync
from ..progress import PhaseProgress
from ..sample_scene import MUSIC_AND_EFFECTS, SAMPLE, SCENE, VOICE
from ..sampling.sampler_options import Quality
from ..video.reading.probing import probe
from ..video.writing.encoding import output_path
from ..video.writing.writer_options import Codec
from .before_after import write_before_after


def run_demo(out: str | Path, on_progress: PhaseProgress | None = None) -> tuple[SyncReport, Path]:
    """Dubs the sample scene into `out`, making its folder; beside it goes a PNG of faces before and after."""
    out = output_path(out, Codec.H264)
    sheet = out.with_suffix(".png")
    check_no_overwrite((out, sheet), (("part of the carried sample", file) for file in SAMPLE.iterdir()))
    out.parent.mkdir(parents=True, exist_ok=True)
    with ScratchFolder() as folder:
        mix = _mix_audio(VOICE, MUSIC_AND_EFFECTS, folder / "mix.wav")
        options = SyncOptions(model=NANO, quality=Quality.RECOMMENDED, mux_audio=mix)
        report = sync(SCENE, VOICE, out, options, on_progress)
    write_before_after(probe(SCENE), probe(report.output), load_audio(VOICE), sheet)
    return report, sheet


def _mix_audio(voice: Path, background: Path, target: Path) -> Path:
    """A mono voice in the middle over a stereo track, neither made quieter."""
    graph = "[0:a]aresample=48000,pan=stereo|c0=c0|c1=c0[voice];[voice][1:a]amix=inputs=2:normalize=0:duration=first"
    inputs = [*ffmpeg_input(voice, AudioError), *ffmpeg_input(background, AudioError)]
    arguments = [*inputs, "-filter_complex", graph, "-c:a", "pcm_s24le", ffmpeg_output(target)]
    run_ffmpeg(arguments, error=AudioError, what="Can't mix the sample's sound")
    return target
