"""What the files in workflows/ are made from; dev/make_workflows.py makes them."""

from dev.workflows.cloned_voice import CLONED_VOICE
from dev.workflows.dialogue import CORE_ONLY, F5, SUBTITLES, VOICE_FIRST
from dev.workflows.found_speakers import FOUND_SPEAKERS
from dev.workflows.graphs import DUB, FULL, QUICK, RESTORE, STILL, TWO

WORKFLOWS = [
    QUICK, FULL, RESTORE, STILL, DUB, CLONED_VOICE, TWO, SUBTITLES, VOICE_FIRST, F5, CORE_ONLY, FOUND_SPEAKERS,
]  # fmt: skip
