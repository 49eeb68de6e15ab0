"""Makes the carried sample: a slow move over the public-domain portrait of Eileen Collins (NASA) and a spoken line.

Needs scikit-image (the picture) and hibari-tts (the voice, Apache-2.0), neither of them a dependency of the project:

    python dev/make_sample.py latentsync_core/assets/sample
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from hibari import SAMPLE_RATE, Hibari, write_wav
from skimage.data import astronaut
from skimage.transform import AffineTransform, warp

LINE = "This voice is new. The picture was here before it, and only the mouth may change."
FPS = 25
SIZE = 384  # pixels


def main(folder: Path) -> None:
    """Writes clip.mp4 and voice.wav into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = write_voice(folder / "voice.wav")
    write_clip(folder / "clip.mp4", frames=round(seconds * FPS))


def write_voice(path: Path) -> float:
    """Speaks the line into a mono 16-bit WAV; returns its length in seconds."""
    samples = Hibari()(LINE, seed=1)
    write_wav(str(path), samples)
    return len(samples) / SAMPLE_RATE


def write_clip(path: Path, frames: int) -> None:
    """A camera that drifts and closes in; head and shoulders stay in the picture."""
    picture = astronaut()
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE}x{SIZE}", "-r", str(FPS), "-i", "-",
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv",
        "-c:v", "libx264", "-crf", "22", "-preset", "veryslow", "-movflags", "+faststart", str(path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        for index in range(frames):
            along = index / frames
            zoom = 1.15 + 0.35 * along
            centre = np.array([225 + 12 * np.sin(2 * np.pi * along), 150 + 8 * np.sin(3 * np.pi * along)])
            centre = np.maximum(centre, SIZE / zoom / 2)
            move = AffineTransform(scale=1 / zoom, translation=centre - SIZE / zoom / 2)
            shown = warp(picture, move, output_shape=(SIZE, SIZE), order=3, mode="edge")
            encoder.stdin.write((shown * 255).round().astype(np.uint8).tobytes())
        encoder.stdin.close()
    if encoder.returncode:
        raise SystemExit(f"ffmpeg failed with {encoder.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
