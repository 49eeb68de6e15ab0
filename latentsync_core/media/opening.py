"""The one door for media: every file that PyAV, ffmpeg or Pillow reads or writes is opened here, and only as a file.

Names are never taken for anything else (a protocol, a pattern, an option), only containers that hold their own media
are read, and nothing in a file can make a reader open another file or an address.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import AudioError, LatentSyncError, VideoError
from ..required_packages import importing
from .sample_tables import claims_too_many_samples
from .truncation import is_truncated

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from PIL import Image

# ffmpeg's demuxers of containers and plain streams that hold the media themselves. Left out on purpose: playlists and
# manifests (concat, hls, dash, imf, sdp, rtsp ...), scripts (avisynth), devices, and series of picture files.
CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpegtsraw,mpeg,asf,flv,live_flv,mxf,mxf_opatom,gxf,ogg,nut,dv,wtv,rm,nsv,pva,ivf,"
    "yuv4mpegpipe,h261,h263,h264,hevc,vvc,av1,obu,vc1,m4v,mpegvideo,mjpeg,dirac,dnxhd,cavsvideo,swf,lxf,"
    "gif,apng,webp_anim,"
    "wav,w64,aiff,caf,au,mp3,aac,loas,flac,ac3,eac3,ac4,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,ape,wv,tta,tak,mpc,mpc8,"
    "voc,dsf,iff,oma,xwma,gsm,sbc,aptx,aptx_hd,adx,qcp,aa,aax,shn,osq,sln,sox,ircam,avr"
)
# A format that says plainly what it is is not guessed at: a steady tone's samples can look like another one's marks.
MAGIC = (  # demuxer, what the file begins with, and what follows at byte 8
    ("wav", (b"RIFF", b"RF64"), b"WAVE"),
    ("aiff", (b"FORM",), b"AIF"),
    ("caf", (b"caff",), b""),
    ("w64", (b"riff\x2e\x91\xcf\x11",), b""),
    ("au", (b".snd",), b""),
)
PLAYLISTS = (  # what a list of other files or addresses begins with, after blanks
    (re.compile(rb"ffconcat\s", re.IGNORECASE), "a list of files for ffmpeg's concat"),
    (re.compile(rb"#EXT(M3U|INF|-X-)"), "an HLS or M3U playlist"),
    (re.compile(rb"v=0\r?\n[a-z]="), "an SDP description of a stream"),
    (re.compile(rb"\[playlist\]|\[Reference\]|RTSPtext", re.IGNORECASE), "a playlist"),
)
XML_PLAYLISTS = {b"MPD": "a DASH manifest", b"CompositionPlaylist": "an IMF playlist", b"html": "a web page"}
FIRST_ELEMENT = re.compile(rb"<(?![?!])(?:\w+:)?(\w+)")
HEAD_BYTES = 4096  # bytes in which a playlist shows itself
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # Pillow's names; some of its others run programs
SEQUENCE_PICTURES = (  # of sequences: ffmpeg's demuxer of one such picture, and what it begins with
    ("png_pipe", (b"\x89PNG\r\n\x1a\n",)),
    ("tiff_pipe", (b"II*\0", b"MM\0*")),
    ("jpeg_pipe", (b"\xff\xd8\xff",)),
    ("dpx_pipe", (b"SDPX", b"XPDS")),
)
MAX_IMAGE_PIXELS = 1 << 26  # 8192 x 8192; held as float RGB that takes 0.8 GB
MAX_FRAME_PIXELS = 1 << 27  # of a film's frame: 16384 x 8192, more than any camera's
PIPE_BUFFER_BYTES = 1 << 20  # bytes
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # a drive's name has one letter
OPTION_OR_ADDRESS = re.compile(r"-|[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # a drive's name has one letter
MEDIA_NOUNS = {VideoError: "a video", AudioError: "a sound"}
PIPED_FRAMES_INPUT = ("-f", "nut", "-probesize", "32", "-analyzeduration", "0", "-i", "pipe:0")
"""ffmpeg's arguments to read what `open_frame_pipe` writes. Its header says everything: probing further would hold back
whole frames."""


def check_file(path: Path, error: type[LatentSyncError]) -> None:
    """Raises `error`, saying what is there instead, unless `path` is a file that can be read and isn't empty."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        if address := ADDRESS.match(str(path)):
            raise error(
                f"{path} is an address ({address[1]}:), and media are read from files: download it first and name the "
                f"file. (The command line downloads https addresses by itself.)"
            ) from None
        raise error(f"There is no file {path}: check its name and folder.") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL character in the name
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"{str(path)!r} can't be opened ({reason}): check the name.") from None
    if stat.S_ISDIR(facts.st_mode):
        raise error(f"{path} is a folder: name a file in it.")
    if not stat.S_ISREG(facts.st_mode):
        raise error(f"{path} is a device or a pipe, not a file: save it as a file first.")
    if not facts.st_size:
        raise error(f"{path} is empty (0 bytes): copy or export it again.")


def open_container(path: Path, error: type[LatentSyncError]) -> InputContainer:
    """PyAV's container of a local media file, to be used in a `with` block.

    Raises:
        error: no such file, a playlist, an address, or nothing that can be read; its message is a whole sentence.
    """
    with importing("av"):
        import av
        from av.error import FFmpegError

    demuxer = _checked_demuxer(path, error)
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        return av.open(f"file:{path}", format=demuxer, options=options, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as problem:
        raise error(unreadable_message(path, problem, error)) from None


def ffmpeg_input(path: Path, error: type[LatentSyncError]) -> list[str]:
    """ffmpeg's arguments that name a local media file as its next input. Raises as `open_container`."""
    demuxer = _checked_demuxer(path, error)
    guards = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS]
    return [*guards, *(["-f", demuxer] if demuxer else []), "-i", f"file:{path}"]


def ffmpeg_own_picture(path: Path) -> list[str]:
    """ffmpeg's arguments that name a PNG that this process wrote as its next input."""
    return ["-protocol_whitelist", "file", "-f", "png_pipe", "-i", f"file:{path}"]


def ffmpeg_own_metadata(path: Path) -> list[str]:
    """ffmpeg's arguments that name a file of texts, in ffmetadata, that this process wrote as its next input."""
    return ["-protocol_whitelist", "file", "-f", "ffmetadata", "-i", f"file:{path}"]


def ffmpeg_piped_samples(rate: int, channels: int) -> list[str]:
    """ffmpeg's arguments that name interleaved 32-bit float samples on its standard input as its next input."""
    return ["-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", "pipe:0"]


def ffmpeg_own_samples(path: Path, rate: int, channels: int) -> list[str]:
    """ffmpeg's arguments that name interleaved 32-bit float samples that this process wrote as its next input."""
    return ["-protocol_whitelist", "file", "-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", f"file:{path}"]


def ffmpeg_output(path: Path) -> str:
    """ffmpeg's argument that names a file to write, whatever characters its name has."""
    return f"file:{path}"


def typed_input(path: Path) -> list[str]:
    """ffmpeg's arguments for its next input as a user types them: without guards, for a file that was opened here."""
    return ["-i", typed_name(path)]


def typed_name(path: Path) -> str:
    """A file's name as a user has to type it, so that ffmpeg takes it for neither an option nor an address."""
    return f"file:{path}" if OPTION_OR_ADDRESS.match(str(path)) else str(path)


def open_frame_pipe(stream: IO[bytes]) -> OutputContainer:
    """PyAV's writer of raw frames into a pipe, in NUT: the one simple container with any time base and every stamp."""
    with importing("av"):
        import av

    return av.open(stream, "w", format="nut", buffer_size=PIPE_BUFFER_BYTES)


def open_scratch_output(path: Path, options: dict[str, str] | None = None) -> OutputContainer:
    """PyAV's writer of a file in a folder of this process's own, in the format of its suffix.

    `options` are the muxer's.
    """
    with importing("av"):
        import av

    return av.open(f"file:{path}", "w", container_options=options or {})


def open_image(path: Path) -> Image.Image:
    """Pillow's image of a picture file, whose samples aren't decoded yet; to be used in a `with` block.

    Raises:
        VideoError: no such file, not one of IMAGE_FORMATS, or more than MAX_IMAGE_PIXELS.
        OSError, SyntaxError, ValueError: what else Pillow finds wrong with it.
    """
    with importing("pillow"):
        from PIL import Image, UnidentifiedImageError

    check_file(path, VideoError)
    reject_playlist(path, VideoError)
    too_large = f"more than {MAX_IMAGE_PIXELS >> 20} million pixels: scale it down first"
    try:
        Image.init()
        picture = Image.open(path, formats=[name for name in IMAGE_FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError:  # beyond a limit of Pillow's own
        raise VideoError(f"The picture {path} has {too_large}.") from None
    except UnidentifiedImageError:
        raise VideoError(
            f"{path} is no picture that can be read: give a {', '.join(IMAGE_FORMATS[:-1])} or {IMAGE_FORMATS[-1]}."
        ) from None
    if picture.width * picture.height > MAX_IMAGE_PIXELS:
        picture.close()
        raise VideoError(f"The picture {path} is {picture.width}×{picture.height}, {too_large}.")
    return picture


def open_sequence_picture(path: Path) -> InputContainer:
    """PyAV's container of one picture of a sequence, to be used in a `with` block; Pillow reads 8 bits of RGB alone.

    Raises:
        VideoError: no such file, or none of SEQUENCE_PICTURES.
    """
    with importing("av"):
        import av
        from av.error import FFmpegError

    check_file(path, VideoError)
    head = _read_head(path, VideoError)
    demuxer = next((name for name, magic in SEQUENCE_PICTURES if head.startswith(magic)), None)
    if demuxer is None:
        raise VideoError(f"{path} is none of the pictures that sequences are read of: export PNG, TIFF, DPX or JPEG.")
    try:
        return av.open(f"file:{path}", format=demuxer, options={"protocol_whitelist": "file"})
    except (FFmpegError, OSError, ValueError) as problem:
        raise VideoError(unreadable_message(path, problem, VideoError)) from None


def can_open_avif() -> bool:
    """Whether the Pillow that is installed was built with AVIF."""
    with importing("pillow"):
        from PIL import Image, features

    Image.init()
    return "AVIF" in Image.OPEN and bool(features.check("avif"))


def reject_playlist(path: Path, error: type[LatentSyncError]) -> None:
    """Raises `error` where the file is a list of other files or addresses, whatever its suffix."""
    head = _read_head(path, error).lstrip(b"\xef\xbb\xbf \t\r\n")
    found = next((name for pattern, name in PLAYLISTS if pattern.match(head)), None)
    if found is None and head.startswith(b"<"):
        element = FIRST_ELEMENT.search(head)
        found = XML_PLAYLISTS.get(element[1], "an XML document") if element else "an XML document"
    if found:
        raise error(f"{path} is {found}, which names other files but holds no media: name the media file itself.")


def _checked_demuxer(path: Path, error: type[LatentSyncError]) -> str | None:
    """The demuxer of a file that names its format itself, None where ffmpeg is to find out; raises what is refused."""
    check_file(path, error)
    reject_playlist(path, error)
    if claims_too_many_samples(path):
        raise error(
            f"{path} is damaged: its tables list more samples than it can hold, or hide them: copy or export it again."
        )
    head = _read_head(path, error)
    return next(
        (name for name, magic, form_type in MAGIC if head.startswith(magic) and head[8:].startswith(form_type)), None
    )


def _read_head(path: Path, error: type[LatentSyncError]) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as problem:
        raise error(f"{path} can't be read ({problem.strerror or problem}): check its permissions.") from None


def unreadable_message(path: Path, problem: Exception, error: type[LatentSyncError]) -> str:
    """The sentence for a file that PyAV or ffmpeg gave up on."""
    if is_truncated(path):
        return f"{path} is cut short, its end is missing: copy or export it again."
    reason = getattr(problem, "strerror", None) or str(problem)
    return f"{path} can't be read as {MEDIA_NOUNS.get(error, 'media')} ({reason}): is it one?"
