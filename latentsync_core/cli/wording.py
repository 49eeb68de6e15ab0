"""How the command line words each remedy: by its own options and commands."""

from __future__ import annotations

from ..messages import Remedy, Words
from ..models.loading.registry import KNOWN_MODELS
from ..sampling.sampler_options import Quality
from ..sampling.timeline import LengthRule
from .options import DEFAULT_MODEL

DOWNLOAD = "`python -m latentsync_core download"
NANO = "nano"  # written out here too, since its own module imports PyTorch

WORDS: Words = {
    Remedy.CHOOSE_MODEL: f"give --model {', '.join(KNOWN_MODELS)}, a bundle folder, a U-Net checkpoint, or {NANO} (the "
    "small demonstration model that is carried with the pack)",
    Remedy.INSTALL_MODEL: f"run {DOWNLOAD} {{}}`",
    Remedy.INSTALL_COMPANIONS: f"run {DOWNLOAD} {DEFAULT_MODEL}`",
    Remedy.REPLACE_WITH_OFFICIAL: f"get the official file with {DOWNLOAD} {DEFAULT_MODEL}`",
    Remedy.TRY_DEMONSTRATION: f"try out the rest with `--model {NANO}`, the small demonstration model that is carried "
    "with the pack",
    Remedy.STATE_RESOLUTION: "pass --resolution 256 if it was made from 1.5 or 512 if from 1.6",
    Remedy.SAVE_MEMORY: "pass --offload, --window 8 or --precision fp16, or close other programs",
    Remedy.RAISE_PRECISION: "pass --precision bf16 or fp32",
    Remedy.CHANGE_VAE: f"leave --vae out, or get the official file with {DOWNLOAD} {DEFAULT_MODEL}`",
    Remedy.STATE_WHISPER: "name it with --whisper",
    Remedy.USE_MIRROR: "use another mirror (--endpoint of `download`, or HF_ENDPOINT)",
    Remedy.MOVE_MODELS_FOLDER: "choose another --models-folder",
    Remedy.PREPARE_AGAIN: "run the command again",
    Remedy.GIVE_FPS: "give it with --fps, such as --fps 24",
    Remedy.GIVE_SOUND: "name a sound file with --audio",
    Remedy.GIVE_ORIGINAL: "name it with --original",
    Remedy.GIVE_IMPULSE: "name it with --impulse",
    Remedy.MIX_TRACKS: "--voice-tracks all averages them",
    Remedy.ADJUST_DETECTION: "set --detector-score below {}, or mark the face by hand with --marks",
    Remedy.MARK_FACE: "write that mark into a file and give it with --marks",
    Remedy.GIVE_ORIGINAL_SOUND: "name the voices as filmed with --original-audio, or choose whose mouth follows "
    "the voice with --face",
    Remedy.CHOOSE_FACE: "choose whose mouth follows the voice with --face instead of --speaker auto",
    Remedy.GIVE_PICTURE: "name it with --face picture:FILE",
    Remedy.GIVE_MASK: "choose with --face point:X,Y@FRAME instead",
    Remedy.CHOOSE_BY_POINT_OR_NUMBER: "choose with --face point:X,Y@FRAME or person:B",
    Remedy.KEEP_WHOLE_VOICE: f"--length {LengthRule.HOLD.value} or {LengthRule.PING_PONG.value} keeps all of it",
    Remedy.CHOOSE_CUSTOM_QUALITY: f"choose --quality {Quality.CUSTOM.value} with a --scheduler",
    Remedy.CHOOSE_REGION: "choose another --region",
    Remedy.KEEP_AUDIO: "--keep-audio all keeps them",
    Remedy.KEEP_ALPHA: "--codec ffv1, png or tiff keeps it",
    Remedy.DEINTERLACE: "--deinterlace makes progressive frames of it",
    Remedy.MOVE_RESULT: "name an --out on another disk",
    Remedy.SIGN_LATER: "sign it with `python -m latentsync_core sign {}`, --c2pa-certificate and --c2pa-key",
    Remedy.MOVE_WORK_FOLDER: "choose another --work-folder",
    Remedy.RESUME_DOWNLOAD: "run the command again; with a --work-folder, the next run goes on where one was cut off",
    Remedy.RAISE_DOWNLOAD_LIMIT: "raise --download-limit",
}
