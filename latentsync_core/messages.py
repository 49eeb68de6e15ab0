"""What the engine reports to the user: facts, and typed ways out that each place words in its own terms.

The engine knows neither the command line's options nor the nodes' widgets. Whoever shows a fact holds a table of words
for every `Remedy`: `cli/wording.py` and `nodes/_wording.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Remedy(Enum):
    """A way out whose words depend on the place where it shows."""

    # models
    CHOOSE_MODEL = "choose a model that is there"
    INSTALL_MODEL = "install the released model that the message is about"
    INSTALL_COMPANIONS = "install the VAE and Whisper of the releases"
    REPLACE_WITH_OFFICIAL = "take the released model's own file instead"
    TRY_DEMONSTRATION = "try out the rest with the carried demonstration model"
    STATE_RESOLUTION = "state the resolution of a checkpoint that doesn't tell"
    SAVE_MEMORY = "take less memory, or free some"
    RAISE_PRECISION = "compute in a precision of larger range"
    CHANGE_VAE = "use the model's own autoencoder"
    STATE_WHISPER = "name the Whisper model of a checkpoint with another width"
    USE_MIRROR = "fetch from a mirror of the model hub"
    MOVE_MODELS_FOLDER = "keep models in another folder"
    # clips, sounds and faces
    PREPARE_AGAIN = "look for the faces of the clip's file as it is now"
    GIVE_FPS = "state the frame rate of a sequence of pictures"
    GIVE_SOUND = "give a sound"
    GIVE_ORIGINAL = "give the original recording of the scene"
    GIVE_IMPULSE = "give an impulse response, or take another reverb"
    MIX_TRACKS = "mix all audio tracks of the file"
    ADJUST_DETECTION = "detect less certain faces, or mark one by hand"
    MARK_FACE = "mark the face by hand, with the mark in the message"
    GIVE_ORIGINAL_SOUND = "give the sound that the clip was filmed with, or choose the face by hand"
    CHOOSE_FACE = "choose the face by hand"
    GIVE_PICTURE = "give a picture of the person"
    GIVE_MASK = "give a mask that lies over the person"
    CHOOSE_BY_POINT_OR_NUMBER = "choose the person by a point or by number"
    # settings
    KEEP_WHOLE_VOICE = "let the output last as long as the voice"
    CHOOSE_CUSTOM_QUALITY = "set the sampling by hand"
    CHOOSE_REGION = "choose how much of the new face is pasted"
    KEEP_AUDIO = "keep the clip's own audio tracks beside the new sound"
    KEEP_ALPHA = "write the result with a codec that holds alpha"
    DEINTERLACE = "turn interlaced frames into progressive ones"
    # files
    MOVE_RESULT = "write the result to another disk"
    SIGN_LATER = "sign the film that was written"
    MOVE_WORK_FOLDER = "keep unfinished work on another disk"
    RESUME_DOWNLOAD = "run the same again, and continue the download"
    RAISE_DOWNLOAD_LIMIT = "allow larger downloads"


Words = Mapping[Remedy, str]
"""What one place says for each remedy; "{}" stands for what the message is about."""


class NoteLevel(Enum):
    """How much a note matters."""

    INFO = "info"  # for the record, such as how samples were converted
    WARNING = "warning"  # the result may not be what the user expects


@dataclass(frozen=True)
class Note:
    """Something that the user should know about a finished job; `str` is the plain fact."""

    fact: str
    level: NoteLevel = NoteLevel.INFO
    remedies: tuple[Remedy, ...] = ()

    def __str__(self) -> str:
        return self.fact

    def worded(self, words: Words) -> str:
        """The fact with its ways out, in one place's words."""
        return add_ways_out(self.fact, (words[remedy] for remedy in self.remedies))


def add_ways_out(fact: str, ways_out: Iterable[str]) -> str:
    """`fact` and what to do: "fact; do this, or do that", with the full stop that the fact has."""
    joined = ", or ".join(ways_out)
    if not joined:
        return fact
    return f"{fact.removesuffix('.')}; {joined}{'.' if fact.endswith('.') else ''}"
