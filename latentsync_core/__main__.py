"""The command line: sync, probe, demo, download and convert; each a thin layer over the library."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import re
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from .errors import LatentSyncError, OptionError
from .remote.fetch import DownloadLimits
from .remote.inputs import FetchedInput, UrlArgument, fetch_url_inputs, local_path, media_argument, reject_url
from .remote.public_https import Network
from .remote.url import redact_url
from .sampling.timeline import LengthRule

EXIT_ERROR = 2  # bad input, said in one sentence
EXIT_CANCELLED = 130  # Ctrl-C, as shells have it
NOTHING = "nothing was written"


def main(arguments: list[str] | None = None, network: Network | None = None) -> int:
    """Runs one command; returns the exit code. URLs are fetched over `network`, by default the internet."""
    options = _parser().parse_args(arguments)
    options.network = network
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        options.command(options)
    except LatentSyncError as error:
        _say_error(str(error), options.json)
        return EXIT_ERROR
    except KeyboardInterrupt:
        _say_error(f"cancelled; {options.left(options)}", options.json)
        return EXIT_CANCELLED
    return 0


def _left_in_work_folder(options: argparse.Namespace) -> str:
    if options.work_folder is None:
        return NOTHING
    return f"no result was written; what is finished stays in {options.work_folder}, and the same command continues"


def _sync(options: argparse.Namespace) -> None:
    from .files.output_checks import check_no_overwrite, check_target
    from .pipeline import sync
    from .video.writing.encoding import output_path
    from .video.writing.writer_options import Codec

    out = output_path(options.out, Codec(options.codec))  # checked before a download, too
    check_target(out)
    check_no_overwrite((out,), (("the file of marks", options.marks),))
    with _bars(quiet=options.json) as on_progress, fetch_url_inputs(options, on_progress) as fetched:
        report = sync(options.video, options.audio, options.out, _sync_options(options), on_progress)
    _print_report(report, options.json, fetched)


def _faces(options: argparse.Namespace) -> None:
    from .cli.faces_report import list_faces

    with _bars(quiet=options.json) as on_progress, fetch_url_inputs(options, on_progress) as fetched:
        listing = list_faces(
            options.video,
            options.out,
            _face_options(options),
            _marks(options.marks),
            options.work_folder,
            (("the file of marks", options.marks),),
            lambda done, total: on_progress("faces", done, total),
        )
    if options.json:
        print(json.dumps({**listing.data, **_downloads(fetched)}))
    else:
        _print_fetched(fetched)
        print(listing.text)
        for path in listing.files:
            print(f"written: {path}")


def _demo(options: argparse.Namespace) -> None:
    from .cli.demo import run_demo

    with _bars(quiet=options.json) as on_progress:
        report, sheet = run_demo(options.out, on_progress)
    _print_report(report, options.json)
    if not options.json:
        print(f"faces before and after, above the voice: {sheet}")


def _probe(options: argparse.Namespace) -> None:
    from .video.reading.probing import probe

    with _bars(quiet=options.json) as on_progress, fetch_url_inputs(options, on_progress) as fetched:
        clip = probe(options.video)
    facts = {
        "clip": fetched[0].file.source if fetched else clip.name,
        "frames": clip.frame_count,
        "fps": str(clip.fps),
        "seconds": round(clip.duration, 6),
        "width": clip.width,
        "height": clip.height,
        "pixel_format": clip.pixel_format,
        "rotation": clip.rotation,
        "sample_aspect": str(clip.sample_aspect),
        "color": dataclasses.asdict(clip.color),
        "audio_codec": clip.audio_codec,
    }
    if options.json:
        print(json.dumps({**facts, **_downloads(fetched)}))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):14} {value}")


def _download(options: argparse.Namespace) -> None:
    from .models.loading.download import DownloadOptions, download

    with _bars(quiet=options.json) as on_progress:
        folder = download(
            options.model,
            DownloadOptions(models_folder=options.models_folder, endpoint=options.endpoint),
            lambda done, total: on_progress("download", done, total),
        )
    print(json.dumps({"folder": str(folder)}) if options.json else f"installed in {folder}")


def _left_by_download(options: argparse.Namespace) -> str:
    from .models.loading.download import DownloadOptions, describe_partial_download

    left = describe_partial_download(options.model, DownloadOptions(models_folder=options.models_folder))
    return f"{left}; run it again to continue" if left else NOTHING


def _convert(options: argparse.Namespace) -> None:
    from .models.load_options import LoadOptions
    from .models.loading.weights import convert

    with _bars(quiet=options.json) as on_progress:
        written = convert(
            options.source,
            options.destination,
            options.precision,
            lambda done, total: on_progress("convert", done, total),
            LoadOptions(resolution=options.resolution, models_folder=options.models_folder),
        )
    print(json.dumps({"written": str(written)}) if options.json else f"written: {written}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m latentsync_core", description="Lip-sync a clip to a voice.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_sync(commands)

    faces = _add_command(
        commands, "faces", _faces, "say who is seen in a clip and when, with pictures", _left_in_work_folder
    )
    faces.add_argument("video", type=media_argument)
    faces.add_argument("--out", type=local_path, help="folder for people.png, timeline.png and faces.json")
    faces.add_argument(
        "--work-folder", type=local_path, help="keep the faces here; sync with the same folder has them at once"
    )
    _add_finding(faces)
    _add_download_limit(faces)

    probe = _add_command(commands, "probe", _probe, "say what a clip is")
    probe.add_argument("video", type=media_argument)
    _add_download_limit(probe)

    demo = _add_command(commands, "demo", _demo, "dub a carried scene into English, with a demonstration model")
    demo.add_argument("--out", type=reject_url, default="demo/out.mp4")

    download = _add_command(commands, "download", _download, "download a model and check it", _left_by_download)
    download.add_argument("model", help="latentsync-1.5 (256 px) or latentsync-1.6 (512 px)")
    download.add_argument("--models-folder", type=Path, help="where models live (default: LATENTSYNC_MODELS)")
    download.add_argument("--endpoint", help="address of a mirror of the model hub (default: HF_ENDPOINT)")

    convert = _add_command(commands, "convert", _convert, "turn a model into a bundle folder of half precision, once")
    convert.add_argument("source", help="as --model of sync takes it")
    convert.add_argument("destination", type=Path, help="a new folder")
    convert.add_argument("--resolution", type=int, choices=(256, 512), help="of an unknown checkpoint")
    convert.add_argument("--models-folder", type=Path, help="where models live (default: LATENTSYNC_MODELS)")
    convert.add_argument("--precision", choices=("fp16", "bf16", "fp32"), default="fp16")
    return parser


def _add_sync(commands: argparse._SubParsersAction) -> None:
    sync = _add_command(commands, "sync", _sync, "lip-sync a clip (or a picture) to a voice", _left_in_work_folder)
    sync.add_argument(
        "--video",
        required=True,
        type=media_argument,
        help="the clip, file or https: URL; a single picture is a one-frame clip",
    )
    sync.add_argument(
        "--audio", required=True, type=media_argument, help="the voice that the mouth follows, a file or an https: URL"
    )
    sync.add_argument("--out", required=True, type=reject_url, help="the result; its suffix follows from --codec")
    _add_download_limit(sync)

    model = sync.add_argument_group("model")
    model.add_argument(
        "--model",
        type=reject_url,
        default="latentsync-1.6",
        help="latentsync-1.5, latentsync-1.6, a bundle folder, a U-Net checkpoint, or nano (carried with the pack: a "
        "small demonstration model, trained on drawn people); default %(default)s",
    )
    model.add_argument("--resolution", type=int, choices=(256, 512), help="of an unknown checkpoint: 256 or 512 px")
    model.add_argument("--models-folder", type=Path, help="where models live (default: LATENTSYNC_MODELS)")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")
    model.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    model.add_argument("--offload", action="store_true", help="keep weights in main memory, for small cards; slower")

    faces = sync.add_argument_group("faces")
    _add_finding(faces)
    faces.add_argument(
        "--face", type=_face, default="largest", metavar="WHO",
        help="whose mouth follows the voice: largest (default), frontal, left, person:N, point:X,Y@FRAME or "
        "picture:FILE; `faces` shows the numbers",
    )  # fmt: skip
    faces.add_argument(
        "--speaker", type=_speaker, action="append", default=[], metavar="WHO=AUDIO",
        help="somebody else with a voice of their own, as often as there are speakers: --speaker person:1=anna.wav",
    )  # fmt: skip
    faces.add_argument("--tracks-on", default="", metavar="LIST", help='tracks synced in any case, as "3, 5-7"')
    faces.add_argument("--tracks-off", default="", metavar="LIST", help="tracks that are never synced")
    faces.add_argument("--face-scale", type=float, default=1.0, help="of the face in the crop (default %(default)s)")
    faces.add_argument("--face-shift", type=float, default=0.0, help="of the face in the crop, down, in crop heights")
    faces.add_argument(
        "--max-yaw", type=float, default=50.0, help="degrees to either side beyond which a face is left as it is"
    )
    faces.add_argument("--no-occlusion", action="store_true", help="paste over hands and all else before the mouth too")

    drawing = sync.add_argument_group("drawing")
    drawing.add_argument("--steps", type=int, default=20)
    drawing.add_argument("--cfg", type=float, default=1.5, help="audio guidance, 1.0 = off (default %(default)s)")
    drawing.add_argument(
        "--scheduler", choices=("ddim", "dpm++ 2m", "unipc"), default="ddim",
        help="ddim is upstream's (default); the other two need fewer steps",
    )  # fmt: skip
    drawing.add_argument("--seed", type=int, default=1247)
    drawing.add_argument("--overlap", type=int, default=0, help="frames that neighbouring windows share (default 0)")
    drawing.add_argument("--feather", type=float, default=1.0, help="width of the patch's soft edge, 1.0 = upstream's")
    drawing.add_argument(
        "--work-folder", type=local_path, help="keep finished faces and downloads here; the same command then resumes"
    )

    timing = sync.add_argument_group("time")
    timing.add_argument("--start", type=_seconds, default=0.0, help="first moment of the clip: seconds or HH:MM:SS.s")
    timing.add_argument("--end", type=_seconds, help="moment at which to stop")
    timing.add_argument(
        "--length", choices=[rule.value for rule in LengthRule], default=LengthRule.VIDEO.value,
        help="where clip and voice differ: the video decides (default), hold its last frame, ping-pong, or cut",
    )  # fmt: skip

    output = sync.add_argument_group("output")
    output.add_argument("--codec", choices=("h264", "prores", "ffv1"), default="h264")
    output.add_argument("--crf", type=int, default=16, help="H.264 quality, 0 (lossless) to 51 (default %(default)s)")
    output.add_argument("--preset", default="medium", help="H.264 speed, ultrafast to veryslow (default %(default)s)")
    output.add_argument(
        "--mux-audio", type=media_argument, help="sound for the file where it isn't the voice: the full mix"
    )


def _add_finding(parser: argparse._ActionsContainer) -> None:
    """The options that decide what is found."""
    parser.add_argument(
        "--detector-score", type=float, default=0.5, help="least certainty of a face; drawn ones need 0.3"
    )
    parser.add_argument(
        "--marks", type=local_path, metavar="FILE", help="faces marked by hand on key frames, as JSON (see the README)"
    )


def _add_download_limit(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--download-limit", type=_positive, default=DownloadLimits.size / 1e9, metavar="GB",
        help="size beyond which a URL is not fetched (default %(default)g)",
    )  # fmt: skip


def _add_command(
    commands: argparse._SubParsersAction,
    name: str,
    command: Callable[[argparse.Namespace], None],
    text: str,
    left: Callable[[argparse.Namespace], str] = lambda _options: NOTHING,
) -> argparse.ArgumentParser:
    """Adds a command; `left` says what is there after it was cancelled."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command, left=left)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no bars: for machines")
    return parser


def _sync_options(options: argparse.Namespace):
    from .compositing.composite_options import CompositeOptions
    from .faces.alignment.align_options import AlignOptions
    from .faces.limits import TouchLimits
    from .faces.selection import read_track_list
    from .models.load_options import LoadOptions
    from .pipeline import SyncOptions
    from .sampling.sampler_options import SamplerOptions, Scheduler, WindowOptions
    from .video.writing.writer_options import Codec, WriterOptions

    return SyncOptions(
        model=options.model,
        load=LoadOptions(
            device=options.device,
            precision=options.precision,
            resolution=options.resolution,
            models_folder=options.models_folder,
            offload=options.offload,
        ),
        faces=_face_options(options),
        marks=_marks(options.marks),
        choice=dataclasses.replace(
            options.face.choice, on=read_track_list(options.tracks_on), off=read_track_list(options.tracks_off)
        ),
        picture=options.face.picture,
        others=tuple(options.speaker),
        limits=TouchLimits(max_yaw=options.max_yaw),
        align=AlignOptions(scale=options.face_scale, shift_y=options.face_shift),
        sampler=SamplerOptions(
            seed=options.seed,
            steps=options.steps,
            cfg=options.cfg,
            scheduler=Scheduler(options.scheduler),
            windows=WindowOptions(overlap=options.overlap),
        ),
        composite=CompositeOptions(feather=options.feather, occlusion=not options.no_occlusion),
        writer=WriterOptions(codec=Codec(options.codec), crf=options.crf, preset=options.preset),
        length=LengthRule(options.length),
        start=options.start,
        end=options.end,
        mux_audio=options.mux_audio,
        work_folder=options.work_folder,
    )


def _face_options(options: argparse.Namespace):
    from .faces.face_options import FaceOptions

    return FaceOptions(detector_score=options.detector_score)


def _marks(path: Path | None) -> str:
    """The text of a file of marks; none gives none."""
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise OptionError(f"the marks in {path} can't be read ({problem}); give a JSON file") from None


def _face(text: str):
    """Reads "left", "person:2", "point:640,210@48" or "picture:anna.png" as a Speaker without a voice."""
    from .faces.selection import ChooseBy, FaceChoice
    from .pipeline import Speaker

    kind, _, rest = text.partition(":")
    plain = {"largest": ChooseBy.LARGEST, "frontal": ChooseBy.FRONTAL, "left": ChooseBy.LEFT}
    place = re.fullmatch(r"(\d{1,9}(?:\.\d*)?),(\d{1,9}(?:\.\d*)?)(?:@(\d{1,9}))?", rest)
    if kind in plain and not rest:
        return Speaker("", FaceChoice(plain[kind]))
    if kind == "person" and re.fullmatch(r"\d{1,9}", rest):
        return Speaker("", FaceChoice(ChooseBy.INDEX, person=int(rest)))
    if kind == "point" and place:
        at = (float(place[1]), float(place[2]))
        return Speaker("", FaceChoice(ChooseBy.POINT, point=at, frame=int(place[3] or 0)))
    if kind == "picture" and rest:
        return Speaker("", FaceChoice(ChooseBy.PICTURE), media_argument(rest))
    raise argparse.ArgumentTypeError(
        f"{redact_url(text)!r} names no face; write largest, frontal, left, person:1, point:640,210@48 or "
        "picture:anna.png"
    )


def _speaker(text: str):
    """Reads "person:1=anna.wav"; in "picture:URL=anna.wav" the URL may hold equals signs of its own."""
    who, equals, audio = text.partition("=")
    if isinstance(media_argument(who.partition(":")[2]), UrlArgument):
        voice = re.search(r"=(?=[a-z]+://)", text, re.IGNORECASE)
        place = voice.start() if voice else text.rfind("=")
        who, audio = text[:place], text[place + 1 :]
    if not equals or not audio:
        raise argparse.ArgumentTypeError(f"{redact_url(text)!r} has no voice; write person:1=anna.wav")
    return dataclasses.replace(_face(who), audio=media_argument(audio))


def _positive(text: str) -> float:
    """Reads a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write gigabytes, as 50 or 0.5")
    return number


def _seconds(text: str) -> float:
    """Reads "90.5", "1:30.5" or "00:01:30.5"."""
    parts = text.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write seconds (90.5) or HH:MM:SS.s (00:01:30.5)")
    return float(sum(Fraction(part) * 60**place for place, part in enumerate(reversed(parts))))


class _bars:
    """One tqdm bar per phase, on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = None
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._quiet:
            return
        from tqdm import tqdm

        if phase != self._phase:
            self.__exit__()
            self._phase, self._bar = phase, tqdm(desc=f"{phase:12}", total=total, leave=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> _bars:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _downloads(fetched: list[FetchedInput]) -> dict[str, list[dict]]:
    """What a JSON report says of fetched files: nothing where no URL was given."""
    return {"downloads": [one.data for one in fetched]} if fetched else {}


def _print_fetched(fetched: list[FetchedInput]) -> None:
    for one in fetched:
        print(f"fetched {one}")


def _print_report(report, as_json: bool, fetched: list[FetchedInput] | None = None) -> None:
    if as_json:
        print(json.dumps({**dataclasses.asdict(report), **_downloads(fetched or [])}, default=str))
        return
    _print_fetched(fetched or [])
    if report.demonstration:
        print(f"model {report.model!r} is a demonstration: it shows how the pack works, not how well LatentSync draws")
    print(f"{report.output}: {report.frames} frames at {report.fps} fps, {report.synced_frames} synced")
    for number, speaker in enumerate(report.faces, 1):
        who = f"speaker {number}: " if len(report.faces) > 1 else ""
        for stretch in speaker["frame_ranges"]:
            if stretch["outcome"] not in ("synced", "fading"):
                first, stop = stretch["frames"]
                print(f"  {who}frames {first} to {stop - 1} passed through: {stretch['outcome']}")
    for start, stop in report.occluded:
        print(f"  frames {start} to {stop - 1}: an object in front of a mouth was left unchanged")
    for note in report.notes:
        print(f"  note: {note}")


def _say_error(sentence: str, as_json: bool) -> None:
    print(json.dumps({"error": sentence}) if as_json else f"error: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a name that isn't text must not end a finished job
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated job cleans up as a cancelled one does
    sys.exit(main())
