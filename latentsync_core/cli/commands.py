"""The commands: sync, batch, sign, faces, report, probe, demo, download and convert, thin layers over the library."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import LatentSyncError
from ..models.load_options import PRECISIONS
from ..remote.inputs import fetch_url_inputs, local_path, media_argument, reject_url
from ..remote.public_https import Network
from .arguments import marks_text
from .console import ProgressBars, downloads_data, print_error, print_fetched, print_plan, print_report
from .dub_options import add_dub_commands
from .options import (
    add_batch_options,
    add_download_limit,
    add_face_options,
    add_fps,
    add_pause_options,
    add_signing_options,
    add_sync_options,
    face_options,
    pause_options,
    signing_files,
    sync_options,
)
from .wording import WORDS

EXIT_ERROR = 2  # bad input, said in one sentence
EXIT_CANCELLED = 130  # Ctrl-C, as shells have it
NOTHING_WRITTEN = "nothing was written"
CONSOLE_COMMAND = "latentsync-dub"  # installed by pip, see pyproject.toml


def main(arguments: list[str] | None = None, network: Network | None = None) -> int:
    """Runs one command; returns the exit code. URLs are fetched over `network`, by default the internet."""
    options = _parser().parse_args(arguments)
    options.network = network
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        return options.command(options) or 0
    except LatentSyncError as error:
        print_error(error.worded(WORDS), options.json)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print_error(f"cancelled; {options.left(options)}", options.json)
        return EXIT_CANCELLED


def run() -> None:
    """What `latentsync-dub` and `python -m latentsync_core` do: `main`, as a process of its own."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that isn't text must not end a finished job
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated job cleans up as a cancelled one does
    sys.exit(main())


def _cancelled_job_message(options: argparse.Namespace) -> str:
    if options.work_folder is None:
        return NOTHING_WRITTEN
    return f"no result was written; what is finished stays in {options.work_folder}, and the same command continues"


def _sync(options: argparse.Namespace) -> None:
    from ..files.output_checks import check_no_overwrite, check_target
    from ..pipeline import plan_sync, sync
    from ..provenance.content_credentials import FilmSigner, check_signable
    from ..video.writing.encoding import output_path
    from ..video.writing.writer_options import Codec

    codec, signing = Codec(options.codec), signing_files(options)
    out = output_path(options.out, codec)  # checked before a download, too
    check_target(out)
    if signing is not None:
        FilmSigner(signing)
        if codec is not Codec.MATCH_SOURCE:
            check_signable(codec.suffix)
    check_no_overwrite((out,), (("the file of marks", options.marks),))
    with ProgressBars(quiet=options.json) as bars, fetch_url_inputs(options, bars) as fetched:
        job = options.video, options.audio, options.out, sync_options(options), bars
        if not options.plan:
            report = sync(*job, on_plan=bars.show_plan)
            print_report(report, options.json, fetched)
            return
        plan, clip = plan_sync(*job)
    print_plan(plan, clip, options.json, fetched)


def _batch(options: argparse.Namespace) -> int:
    from .batches.batch_command import run_batch

    return run_batch(options)


def _sign(options: argparse.Namespace) -> None:
    from ..provenance.sign_film import sign_film
    from ..provenance.signing_files import SigningFiles

    files = SigningFiles(options.c2pa_certificate, options.c2pa_key)
    with ProgressBars(quiet=options.json) as on_progress:
        credits, signer = sign_film(
            options.film, files, options.source, lambda done, total: on_progress("signing", done, total)
        )
    if options.json:
        print(json.dumps({"signed": str(options.film), "signer": signer, "credits": credits.text}))
    else:
        print(f"{options.film}: signed by {signer}; {credits.text}")


def _faces(options: argparse.Namespace) -> None:
    from .faces_report import list_faces

    with ProgressBars(quiet=options.json) as on_progress, fetch_url_inputs(options, on_progress) as fetched:
        listing = list_faces(
            options.video,
            options.out,
            face_options(options),
            marks_text(options.marks),
            options.work_folder,
            (("the file of marks", options.marks),),
            lambda done, total: on_progress("faces", done, total),
            options.deinterlace,
            options.fps,
            options.audio,
            pause_options(options),
            lambda done, total: on_progress("clip", done, total),
            options.speakers,
            lambda done, total: on_progress("speakers", done, total),
        )
    if options.json:
        print(json.dumps({**listing.data, **downloads_data(fetched)}))
    else:
        print_fetched(fetched)
        print(listing.text)
        for path in listing.files:
            print(f"written: {path}")


def _report(options: argparse.Namespace) -> None:
    from ..files.output_checks import check_no_overwrite
    from ..result_report.reporting import report_on

    inputs = (("the result", options.result), ("the source", options.source), ("the voice", options.audio))
    if options.out is not None:
        check_no_overwrite((options.out,), (*inputs, ("the file of marks", options.marks)))
    with ProgressBars(quiet=options.json) as on_progress:
        report = report_on(
            options.result, options.source, options.audio, face_options(options), marks_text(options.marks),
            options.work_folder, options.syncnet, on_progress,
        )  # fmt: skip
    if options.out is not None:
        report.write_page(options.out)
    if options.json:
        print(json.dumps(report.data))
        return
    print(report.text)
    if options.out is not None:
        print(f"written: {options.out}")


def _demo(options: argparse.Namespace) -> None:
    from .demo import run_demo

    with ProgressBars(quiet=options.json) as on_progress:
        report, files = run_demo(options.out, on_progress)
    print_report(report, options.json)
    if not options.json:
        print(f"faces before and after, above the voice: {files.sheet}")
        print(f"the scene and the result side by side: {files.comparison}")


def _probe(options: argparse.Namespace) -> None:
    from ..video.reading.probing import probe

    with ProgressBars(quiet=options.json) as on_progress, fetch_url_inputs(options, on_progress) as fetched:
        clip = probe(options.video, options.fps, lambda done, total: on_progress("clip", done, total))
    facts = {
        "clip": fetched[0].file.source if fetched else clip.name,
        "frames": clip.frame_count,
        "fps": str(clip.fps),
        "seconds": round(clip.duration, 6),
        "width": clip.width,
        "height": clip.height,
        "pixel_format": clip.pixel_format,
        "rotation": clip.rotation,
        "mirrored": clip.mirrored,
        "sample_aspect": str(clip.sample_aspect),
        "color": dataclasses.asdict(clip.color),
        "audio_codec": clip.audio_codec,
    }
    if options.json:
        print(json.dumps({**facts, **downloads_data(fetched)}))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):14} {value}")


def _download(options: argparse.Namespace) -> None:
    from ..models.loading.download import DownloadOptions, download

    with ProgressBars(quiet=options.json) as on_progress:
        folder = download(
            options.model,
            DownloadOptions(models_folder=options.models_folder, endpoint=options.endpoint),
            lambda done, total: on_progress("download", done, total),
        )
    print(json.dumps({"folder": str(folder)}) if options.json else f"installed in {folder}")


def _cancelled_download_message(options: argparse.Namespace) -> str:
    from ..models.loading.download import DownloadOptions, describe_partial_download

    left = describe_partial_download(options.model, DownloadOptions(models_folder=options.models_folder))
    return f"{left}; run it again to continue" if left else NOTHING_WRITTEN


def _convert(options: argparse.Namespace) -> None:
    from ..models.load_options import LoadOptions
    from ..models.loading.weights import convert

    with ProgressBars(quiet=options.json) as on_progress:
        written = convert(
            options.source,
            options.destination,
            options.precision,
            lambda done, total: on_progress("convert", done, total),
            LoadOptions(resolution=options.resolution, models_folder=options.models_folder),
        )
    print(json.dumps({"written": str(written)}) if options.json else f"written: {written}")


def _program() -> str:
    """What was typed to get here: the installed console command, or Python and the package's name."""
    return CONSOLE_COMMAND if Path(sys.argv[0]).stem == CONSOLE_COMMAND else "python -m latentsync_core"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_program(), description="Lip-sync a clip to a voice.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sync = _add_command(commands, "sync", _sync, "lip-sync a clip (or a picture) to a voice", _cancelled_job_message)
    add_sync_options(sync)

    batch = _add_command(
        commands, "batch", _batch, "lip-sync many clips: the rows of a CSV or JSON file, or a folder's clips",
        lambda _options: "finished rows are kept, and the same command continues",
    )  # fmt: skip
    add_batch_options(batch)

    sign = _add_command(
        commands, "sign", _sign, "sign a finished MP4 or MOV of this pack with Content Credentials (C2PA)"
    )
    sign.add_argument("film", type=local_path, help="the film; the signed one takes its place")
    add_signing_options(sign, "what the film is signed with", required=True)
    sign.add_argument("--source", type=local_path, metavar="CLIP", help="the clip that the film was made from")

    faces = _add_command(
        commands, "faces", _faces, "say who is seen in a clip and when, with pictures", _cancelled_job_message
    )
    faces.add_argument("video", type=media_argument)
    add_fps(faces)
    faces.add_argument("--out", type=local_path, help="folder for people.png, timeline.png and faces.json")
    faces.add_argument(
        "--work-folder", type=local_path, help="keep the faces here; sync with the same folder has them at once"
    )
    add_face_options(faces)
    faces.add_argument("--audio", type=media_argument, help="a voice: timeline.png then shows where it speaks")
    faces.add_argument(
        "--speakers", action="store_true",
        help="find who speaks when in the clip's own sound, as sync --speaker auto does, and report it with the scores",
    )  # fmt: skip
    add_pause_options(faces)
    add_download_limit(faces)

    report = _add_command(commands, "report", _report, "say how good a result is: sync, motion, edges, what changed")
    report.add_argument("result", type=local_path, help="the dubbed film")
    report.add_argument("--source", type=local_path, required=True, metavar="CLIP", help="what it was made from")
    report.add_argument(
        "--audio", type=local_path, metavar="VOICE",
        help="the voice alone that its mouths should follow (default: the result's own sound, music included)",
    )  # fmt: skip
    report.add_argument("--out", type=local_path, metavar="HTML", help="write the report as one HTML file")
    report.add_argument("--work-folder", type=local_path, help="the faces that sync kept there are not detected again")
    report.add_argument(
        "--syncnet", type=local_path, metavar="FILE",
        help="LatentSync's stable_syncnet.pt, for its scores (default: a small network that is carried)",
    )  # fmt: skip
    add_face_options(report)

    probe = _add_command(commands, "probe", _probe, "say what a clip is")
    probe.add_argument("video", type=media_argument)
    add_fps(probe)
    add_download_limit(probe)

    add_dub_commands(functools.partial(_add_command, commands))

    demo = _add_command(commands, "demo", _demo, "dub a carried scene into English, with a demonstration model")
    demo.add_argument("--out", type=reject_url, default="demo/out.mp4")

    download = _add_command(
        commands, "download", _download, "download a model and check it", _cancelled_download_message
    )
    download.add_argument("model", help="latentsync-1.5 (256 px) or latentsync-1.6 (512 px)")
    download.add_argument("--models-folder", type=Path, help="where models are stored (default: LATENTSYNC_MODELS)")
    download.add_argument("--endpoint", help="address of a mirror of the model hub (default: HF_ENDPOINT)")

    convert = _add_command(commands, "convert", _convert, "turn a model into a bundle folder of half precision, once")
    convert.add_argument("source", help="as --model of sync takes it")
    convert.add_argument("destination", type=Path, help="a new folder")
    convert.add_argument("--resolution", type=int, choices=(256, 512), help="of an unknown checkpoint")
    convert.add_argument("--models-folder", type=Path, help="where models are stored (default: LATENTSYNC_MODELS)")
    convert.add_argument("--precision", choices=PRECISIONS, default="fp16")
    return parser


def _add_command(
    commands: argparse._SubParsersAction,
    name: str,
    command: Callable[[argparse.Namespace], int | None],
    text: str,
    left: Callable[[argparse.Namespace], str] = lambda _options: NOTHING_WRITTEN,
) -> argparse.ArgumentParser:
    """Adds a command; `left` says what is there after it was cancelled."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command, left=left)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no bars: for machines")
    return parser
