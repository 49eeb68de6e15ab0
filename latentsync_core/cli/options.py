"""The command line's options, and the engine's options that they are turned into.

Every default is that of the engine's own options, which are read here without importing PyTorch.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..audio.pause_options import PauseBehaviour, PauseOptions
from ..audio.track_choice import TrackChoice
from ..compositing.composite_options import CompositeOptions, Region
from ..errors import OptionError
from ..faces.alignment.align_options import AlignOptions
from ..faces.face_options import FaceOptions
from ..faces.limits import TouchLimits
from ..faces.speaking import WhoSpeaks
from ..models.load_options import PRECISIONS, LoadOptions
from ..provenance.signing_files import SigningFiles
from ..remote.fetch import DownloadLimits
from ..remote.inputs import local_path, media_argument, reject_url
from ..sampling.sampler_options import (
    MAX_EXPRESSION,
    MAX_MASK_GROW,
    QUALITY_SETTINGS,
    Quality,
    ReferenceChoice,
    SamplerOptions,
    Scheduler,
    WindowOptions,
)
from ..sampling.timeline import LengthRule
from ..video.writing.writer_options import PRESETS, Codec, KeepAudio, WriterOptions
from .arguments import (
    face_argument,
    fps_argument,
    marks_text,
    minutes_argument,
    positive_number,
    seconds_argument,
    speaker_argument,
    whole_number,
)

DEFAULT_MODEL = "latentsync-1.6"
SPLIT_OVER = 5.0  # minutes of a clip, beyond which a batch does it in parts
LOAD, FACES, ALIGN, LIMITS = LoadOptions(), FaceOptions(), AlignOptions(), TouchLimits()
SAMPLER, COMPOSITE, WRITER, PAUSES = SamplerOptions(), CompositeOptions(), WriterOptions(), PauseOptions()


def add_sync_options(sync: argparse.ArgumentParser, is_batch: bool = False) -> None:
    """Everything that `sync` takes; for a batch nothing of it is required, since rows may give it."""
    sync.add_argument(
        "--video", required=not is_batch, type=media_argument,
        help="the clip, file or https: URL; a single picture is a one-frame clip, a folder of numbered pictures or "
        "their names (shot_%%04d.png) a clip of as many frames",
    )  # fmt: skip
    add_fps(sync)
    sync.add_argument(
        "--audio", required=not is_batch, type=media_argument,
        help="the voice that the mouth follows, a file or an https: URL",
    )  # fmt: skip
    sync.add_argument(
        "--voice-tracks", choices=[choice.value for choice in TrackChoice], default=TrackChoice.FIRST.value,
        help="audio tracks of a voice's file, and of --mux-audio's, that are its sound: the first (default), or the "
        "average of all, such as a broadcast master's mono tracks",
    )  # fmt: skip
    out = "folder for the results of rows that name none" if is_batch else "the result; its suffix follows from --codec"
    sync.add_argument("--out", required=not is_batch, type=reject_url, help=out)
    if not is_batch:
        sync.add_argument(
            "--plan", action="store_true",
            help="say what would be done, and the time and memory that it would take, and do nothing",
        )  # fmt: skip
    add_download_limit(sync)

    model = sync.add_argument_group("model")
    model.add_argument(
        "--model", type=reject_url, default=DEFAULT_MODEL,
        help="latentsync-1.5, latentsync-1.6, a bundle folder, a U-Net checkpoint, or nano (carried with the pack: a "
        "small demonstration model, trained on rendered people); default %(default)s",
    )  # fmt: skip
    model.add_argument("--resolution", type=int, choices=(256, 512), help="of an unknown checkpoint: 256 or 512 px")
    model.add_argument("--models-folder", type=Path, help="where models are stored (default: LATENTSYNC_MODELS)")
    model.add_argument("--vae", type=local_path, help="another autoencoder: a diffusers folder or its .safetensors")
    model.add_argument("--whisper", type=local_path, help="Whisper's weights, where they aren't in the models folder")
    model.add_argument("--device", default=LOAD.device, help="auto, cpu, cuda, cuda:1, mps, ... (default %(default)s)")
    model.add_argument(
        "--precision", choices=("auto", *PRECISIONS), default=LOAD.precision,
        help="of the U-Net and the autoencoder (default %(default)s)",
    )  # fmt: skip
    model.add_argument("--offload", action="store_true", help="keep weights in main memory, for small cards; slower")
    model.add_argument(
        "--compile", action="store_true",
        help="compile the U-Net with torch.compile: some minutes at first, quicker steps; for long clips",
    )  # fmt: skip

    faces = sync.add_argument_group("faces")
    add_face_options(faces)
    faces.add_argument(
        "--face", type=face_argument, default="largest", metavar="WHO",
        help="whose mouth follows the voice: largest (default), frontal, left, person:B, point:X,Y@FRAME or "
        "picture:FILE; `faces` shows the persons' letters",
    )  # fmt: skip
    faces.add_argument(
        "--speaker", type=speaker_argument, action="append", default=[], metavar="WHO=AUDIO",
        help="another speaker with a voice of their own; repeat it for each: --speaker person:B=anna.wav. auto finds "
        "who speaks in the clip's own sound: each mouth follows the voice while its person does",
    )  # fmt: skip
    faces.add_argument(
        "--original-audio", type=media_argument, metavar="FILE",
        help="for --speaker auto: the voices as filmed, where they aren't the clip's own sound",
    )  # fmt: skip
    faces.add_argument("--tracks-on", default="", metavar="LIST", help='tracks synced in any case, as "3, 5-7"')
    faces.add_argument("--tracks-off", default="", metavar="LIST", help="tracks that are never synced")
    faces.add_argument(
        "--face-scale", type=float, default=ALIGN.scale, help="size of the face in its crop (default %(default)s)"
    )
    faces.add_argument(
        "--face-shift", type=float, default=ALIGN.shift_y,
        help="shift of the face in its crop, down, in crop heights (default %(default)s)",
    )  # fmt: skip
    faces.add_argument(
        "--smoothing", type=float, default=ALIGN.smoothing_strength,
        help="temporal smoothing of the landmarks, 0 (none) to 3 (default %(default)s)",
    )  # fmt: skip
    faces.add_argument(
        "--max-yaw", type=float, default=LIMITS.max_yaw,
        help="degrees to either side beyond which a face is left unchanged (default %(default)g)",
    )  # fmt: skip
    faces.add_argument(
        "--max-pitch", type=float, default=LIMITS.max_pitch,
        help="degrees up or down beyond which a face is left unchanged (default %(default)g)",
    )  # fmt: skip
    faces.add_argument(
        "--smallest-face", type=float, default=LIMITS.min_size, metavar="PIXELS",
        help="smaller faces are left unchanged (default %(default)g)",
    )  # fmt: skip
    faces.add_argument(
        "--min-sharpness", type=float, default=LIMITS.min_sharpness,
        help="blurrier faces are left unchanged, 0 to 1; about 0.1 excludes motion blur (default %(default)g)",
    )  # fmt: skip
    faces.add_argument(
        "--fade-frames", type=int, default=LIMITS.fade_frames,
        help="frames over which the result fades in and out where a face stops being synced (default %(default)s)",
    )  # fmt: skip

    sampling = sync.add_argument_group("sampling")
    sampling.add_argument(
        "--quality", choices=[quality.value for quality in Quality], default=Quality.RECOMMENDED.value,
        help="where the settings from --steps to --reuse-change come from where they are not given: recommended "
        "(default) takes the model's own, custom the defaults named with each; reference has upstream's solver and "
        "steps, balanced a third of their operations, draft a sixth, both not measured on released weights",
    )  # fmt: skip
    # Without a default, so that the quality decides what isn't given.
    sampling.add_argument("--steps", type=int, help=f"denoising steps (custom: {SAMPLER.steps})")
    sampling.add_argument("--cfg", type=float, help=f"audio guidance scale, 1.0 = off (custom: {SAMPLER.cfg})")
    sampling.add_argument(
        "--scheduler", choices=[scheduler.value for scheduler in Scheduler],
        help="ddim is upstream's, euler the same but for its last step, the others are of higher order (custom: "
        f"{SAMPLER.scheduler.value})",
    )  # fmt: skip
    sampling.add_argument(
        "--noise-sharing", type=float,
        help=f"share of the initial noise that all frames have in common, 0 to 1 (custom: {SAMPLER.noise_sharing})",
    )  # fmt: skip
    sampling.add_argument(
        "--overlap", type=int,
        help=f"frames that neighbouring windows share and cross-fade (custom: {SAMPLER.overlap})",
    )  # fmt: skip
    sampling.add_argument(
        "--cfg-start", type=float, metavar="SHARE",
        help=f"share of the steps after which guidance begins, 0 to 1 (custom: {SAMPLER.cfg_start:g})",
    )  # fmt: skip
    sampling.add_argument(
        "--cfg-end", type=float, metavar="SHARE",
        help="share of the steps after which guidance ends; the rest takes half the time (custom: "
        f"{SAMPLER.cfg_end:g})",
    )  # fmt: skip
    sampling.add_argument(
        "--cfg-rescale", type=float, metavar="STRENGTH",
        help="how far the contrast that guidance adds is taken back, 0 to 1; for guidance far above usual (custom: "
        f"{SAMPLER.cfg_rescale:g})",
    )  # fmt: skip
    sampling.add_argument(
        "--reuse-interval", type=int, metavar="STEPS",
        help="compute the deep features of the network at every so many steps and reuse them in between, which takes "
        f"7 %% of a step's time; 1 reuses nothing (custom: {SAMPLER.reuse_interval})",
    )  # fmt: skip
    sampling.add_argument(
        "--reuse-change", type=float, metavar="SHARE",
        help="reuse them only while they have changed by no more than this share of their size, for each window as "
        f"measured; 0 sets no limit (custom: {SAMPLER.reuse_change:g})",
    )  # fmt: skip
    sampling.add_argument("--seed", type=int, default=SAMPLER.seed, help="(default %(default)s)")
    sampling.add_argument(
        "--window", type=int, default=SAMPLER.windows.frames,
        help="frames sampled together; fewer need less memory (default %(default)s)",
    )  # fmt: skip
    sampling.add_argument(
        "--window-batch", type=int, default=SAMPLER.window_batch, metavar="WINDOWS",
        help="windows sampled at a time, with the same result, for graphics cards that one leaves idle (default "
        "%(default)s)",
    )  # fmt: skip
    sampling.add_argument(
        "--reference-mouth", choices=[choice.value for choice in ReferenceChoice],
        default=SAMPLER.reference_mouth.value,
        help="what the frames that show the network the person show of the mouth: as the model was trained (model), "
        "their own (filmed), its mean over three seconds (averaged), or that of a frame nearby whose mouth is closed; "
        "the last two copy less of the filmed mouth's motion (default %(default)s)",
    )  # fmt: skip
    sampling.add_argument(
        "--mask-grow", type=float, default=SAMPLER.mask_grow, metavar="PERCENT",
        help="percent of the crop's width by which the hidden part of the filmed face grows, up cheeks and nose; 0 to "
        f"{MAX_MASK_GROW:g} (default %(default)g)",
    )  # fmt: skip
    sampling.add_argument(
        "--expression", type=float, default=SAMPLER.expression, metavar="STRENGTH",
        help="how far the mouth moves: 1 as the model draws it, towards 0 mumbled, above exaggerated; 0 to "
        f"{MAX_EXPRESSION:g} (default %(default)g)",
    )  # fmt: skip
    sampling.add_argument(
        "--work-folder", type=local_path, help="keep finished faces and downloads here; the same command then resumes"
    )

    pauses = sync.add_argument_group("pauses of the voice")
    pauses.add_argument(
        "--pauses", choices=[behaviour.value for behaviour in PauseBehaviour], default=PAUSES.behaviour.value,
        help="what the mouth does where the voice pauses: the model decides, closed lets it hear silence there, "
        "original fades to the filmed mouth (default %(default)s)",
    )  # fmt: skip
    add_pause_options(pauses)

    dialogue = sync.add_argument_group("dialogue by lines")
    dialogue.add_argument(
        "--lines", type=local_path, metavar="FILE",
        help="lines of dialogue, as `lines` reads them: each is sampled by itself, with the settings that a JSON file "
        "has for it (seed, expression, pauses, enabled); with --work-folder, a changed line is alone sampled again",
    )  # fmt: skip

    compositing = sync.add_argument_group("compositing")
    compositing.add_argument(
        "--feather", type=float, default=COMPOSITE.feather,
        help="width of the patch's soft edge, 1.0 = upstream's (default %(default)s)",
    )  # fmt: skip
    compositing.add_argument(
        "--region", choices=[region.value for region in Region], default=COMPOSITE.region.value,
        help="model pastes what the model's makers recommend; speech lips, chin and jaw as far as they move; lips "
        "leaves a beard unchanged; mouth pastes all of the lower face that is generated; face the whole crop (default "
        "%(default)s)",
    )  # fmt: skip
    compositing.add_argument(
        "--grow", type=float, default=COMPOSITE.grow, metavar="PERCENT",
        help="percent of the crop's width by which the regions speech and lips grow, or below 0 shrink; -10 to 10 "
        "(default %(default)g)",
    )  # fmt: skip
    compositing.add_argument(
        "--match-color", type=float, default=COMPOSITE.match_color, metavar="STRENGTH",
        help="how far the patch takes the colour and light of the skin around it, 0 to 1 (default %(default)g)",
    )  # fmt: skip
    compositing.add_argument(
        "--match-grain", type=float, default=COMPOSITE.match_grain, metavar="STRENGTH",
        help="how far the patch takes the sharpness and grain of the skin around it, 0 to 1 (default %(default)g)",
    )  # fmt: skip
    compositing.add_argument(
        "--no-occlusion", action="store_true", help="paste over hands and objects in front of the mouth too"
    )

    timing = sync.add_argument_group("time")
    timing.add_argument(
        "--start", type=seconds_argument, default=0.0, help="first moment of the clip: seconds or HH:MM:SS.s"
    )
    timing.add_argument("--end", type=seconds_argument, help="moment at which to stop")
    timing.add_argument(
        "--length", choices=[rule.value for rule in LengthRule], default=LengthRule.VIDEO.value,
        help="where clip and voice differ: the video decides (default), hold its last frame, ping-pong, cut, loop, or "
        "remap the frames' times to the voice's length",
    )  # fmt: skip

    output = sync.add_argument_group("output")
    output.add_argument(
        "--codec", choices=[codec.value for codec in Codec], default=WRITER.codec.value,
        help="match-source writes what the clip is in, png and tiff a folder of pictures (default %(default)s)",
    )  # fmt: skip
    output.add_argument(
        "--crf", type=int, default=WRITER.crf, help="quality of H.264 and HEVC, 0 to 51 (default %(default)s)"
    )
    output.add_argument(
        "--preset", choices=PRESETS, default=WRITER.preset, metavar="PRESET",
        help="speed of H.264 and HEVC, ultrafast to veryslow (default %(default)s)",
    )  # fmt: skip
    output.add_argument(
        "--mux-audio", type=media_argument, help="sound for the file where it isn't the voice: the full mix"
    )
    output.add_argument(
        "--keep-audio", choices=[choice.value for choice in KeepAudio], default=WRITER.keep_audio.value,
        help="the clip's own audio tracks in the result, after its sound: all, the first, or none (default "
        "%(default)s)",
    )  # fmt: skip
    add_signing_options(output, "sign the result, an MP4 or MOV, with Content Credentials (C2PA)")


def add_batch_options(batch: argparse.ArgumentParser) -> None:
    """What `batch` takes: its list, its workers, and the settings of rows that give none."""
    batch.add_argument(
        "jobs", type=local_path, metavar="LIST",
        help="a .csv or .json file whose columns are named as the options of sync (video, audio, out, ...), or a "
        "folder of clips with the voice of each beside it under the same name",
    )  # fmt: skip
    batch.add_argument("--workers", type=whole_number, help="jobs done at once (default: one for each GPU)")
    batch.add_argument(
        "--devices", type=lambda text: text.split(","), default=[], metavar="LIST",
        help="devices of the workers in turn, as cuda:0,cuda:1 (default: every GPU)",
    )  # fmt: skip
    batch.add_argument(
        "--threads", type=whole_number, help="processor threads of each worker (default: the cores, shared equally)"
    )
    batch.add_argument(
        "--records", type=local_path, metavar="FOLDER",
        help="where the batch notes what is finished (default: LIST.batch beside the list)",
    )  # fmt: skip
    batch.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS",
        help="do the jobs on a Ray cluster, one on each of its GPUs: this machine's (auto, the default), that at an "
        "address (host:6379), or a new one of this machine alone (local)",
    )  # fmt: skip
    batch.add_argument(
        "--split-over", type=minutes_argument, default=SPLIT_OVER, metavar="MINUTES",
        help="clips that last longer are done in parts, which all workers share; 0 divides none (default %(default)g)",
    )  # fmt: skip
    batch.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add_sync_options(batch, is_batch=True)


def add_signing_options(parser: argparse._ActionsContainer, purpose: str, required: bool = False) -> None:
    """The certificate and key that a film is signed with."""
    parser.add_argument(
        "--c2pa-certificate", type=local_path, metavar="FILE", required=required,
        help=f"{purpose}: the signer's certificate in PEM, followed by its issuers'",
    )  # fmt: skip
    parser.add_argument(
        "--c2pa-key", type=local_path, metavar="FILE", required=required,
        help="the private key of --c2pa-certificate, PEM without a passphrase; it is used for the signature alone",
    )  # fmt: skip


def add_face_options(parser: argparse._ActionsContainer) -> None:
    """The options that decide which faces are found."""
    parser.add_argument(
        "--detector-score", type=float, default=FACES.detector_score,
        help="least score of a detection, 0 to 1; lower lets false ones in (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--shot-threshold", type=float, default=FACES.shot_threshold,
        help="how easily a cut is detected, 1 to 10: less finds more cuts, and false ones (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--deinterlace", action="store_true",
        help="make progressive frames of an interlaced clip, one of each; by default the result is interlaced as well",
    )  # fmt: skip
    parser.add_argument(
        "--marks", type=local_path, metavar="FILE", help="faces marked on key frames, as JSON (see docs/cli.md)"
    )


def add_fps(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--fps", type=fps_argument, metavar="RATE", help="frame rate of a sequence of pictures: 24, 23.976, 24000/1001"
    )


def add_pause_options(parser: argparse._ActionsContainer) -> None:
    """The options that decide where a voice pauses."""
    parser.add_argument(
        "--pause-hangover", type=float, default=PAUSES.hangover, metavar="SECONDS",
        help="how long the mouth goes on after speech; shorter gaps are no pauses (default %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--pause-ramp", type=float, default=PAUSES.ramp, metavar="SECONDS",
        help="how long the change into a pause and out of it takes (default %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--speech-threshold", type=float, default=PAUSES.threshold,
        help="score from which a sound is speech, 0 to 1; lower counts quieter sounds (default %(default)g)",
    )  # fmt: skip


def add_download_limit(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--download-limit", type=positive_number, default=DownloadLimits.size / 1e9, metavar="GB",
        help="size beyond which a URL is not fetched (default %(default)g)",
    )  # fmt: skip


def sync_options(options: argparse.Namespace):
    """The pipeline's SyncOptions that parsed arguments ask for."""
    from ..faces.selection import read_track_list
    from ..sync_options import SyncOptions

    given = {name: value for name in QUALITY_SETTINGS if (value := getattr(options, name)) is not None}
    if "scheduler" in given:
        given["scheduler"] = Scheduler(given["scheduler"])
    explicit = frozenset(given)
    windows = WindowOptions(frames=options.window, overlap=given.pop("overlap", SAMPLER.overlap))
    return SyncOptions(
        model=options.model,
        load=LoadOptions(
            device=options.device,
            precision=options.precision,
            resolution=options.resolution,
            models_folder=options.models_folder,
            vae=options.vae,
            whisper=options.whisper,
            offload=options.offload,
            compile=options.compile,
            window_frames=options.window,
            window_batch=options.window_batch,
        ),
        faces=face_options(options),
        marks=marks_text(options.marks),
        choice=dataclasses.replace(
            options.face.choice, on=read_track_list(options.tracks_on), off=read_track_list(options.tracks_off)
        ),
        picture=options.face.picture,
        other_speakers=tuple(one for one in options.speaker if one is not WhoSpeaks.AUTO),
        who_speaks=who_speaks(options),
        original_audio=options.original_audio,
        limits=TouchLimits(
            max_yaw=options.max_yaw,
            max_pitch=options.max_pitch,
            min_size=options.smallest_face,
            min_sharpness=options.min_sharpness,
            fade_frames=options.fade_frames,
        ),
        align=AlignOptions(smoothing_strength=options.smoothing, scale=options.face_scale, shift_y=options.face_shift),
        sampler=SamplerOptions(
            seed=options.seed,
            windows=windows,
            reference_mouth=ReferenceChoice(options.reference_mouth),
            mask_grow=options.mask_grow,
            window_batch=options.window_batch,
            expression=options.expression,
            **given,
        ),
        quality=Quality(options.quality),
        explicit_settings=explicit,
        pauses=pause_options(options, PauseBehaviour(options.pauses)),
        composite=CompositeOptions(
            feather=options.feather,
            region=Region(options.region),
            occlusion=not options.no_occlusion,
            grow=options.grow,
            match_color=options.match_color,
            match_grain=options.match_grain,
        ),
        writer=WriterOptions(
            codec=Codec(options.codec),
            crf=options.crf,
            preset=options.preset,
            keep_audio=KeepAudio(options.keep_audio),
        ),
        lines=options.lines,
        deinterlace=options.deinterlace,
        length=LengthRule(options.length),
        start=options.start,
        end=options.end,
        voice_tracks=TrackChoice(options.voice_tracks),
        fps=options.fps,
        mux_audio=options.mux_audio,
        work_folder=options.work_folder,
        signing=signing_files(options),
    )


def who_speaks(options: argparse.Namespace) -> WhoSpeaks:
    """Whether parsed arguments ask to find who speaks. OptionError where they also say who does."""
    if WhoSpeaks.AUTO not in options.speaker:
        if options.original_audio is not None:
            raise OptionError("--original-audio tells who speaks; give --speaker auto with it")
        return WhoSpeaks.CHOSEN
    if len(options.speaker) > 1:
        raise OptionError("--speaker auto finds who speaks for the single voice of --audio; leave out the others")
    return WhoSpeaks.AUTO


def signing_files(options: argparse.Namespace) -> SigningFiles | None:
    """What a film is to be signed with; None where it isn't. OptionError where one of the two files is missing."""
    certificate, key = options.c2pa_certificate, options.c2pa_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise OptionError("--c2pa-certificate and --c2pa-key need each other: give both, or neither.")
    return SigningFiles(certificate, key)


def face_options(options: argparse.Namespace) -> FaceOptions:
    """The FaceOptions that parsed arguments ask for."""
    return FaceOptions(detector_score=options.detector_score, shot_threshold=options.shot_threshold)


def pause_options(options: argparse.Namespace, behaviour: PauseBehaviour = PAUSES.behaviour) -> PauseOptions:
    """The PauseOptions that parsed arguments ask for."""
    return PauseOptions(behaviour, options.pause_hangover, options.pause_ramp, options.speech_threshold)
