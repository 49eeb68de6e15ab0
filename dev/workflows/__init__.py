"""What the files in workflows/ are made from; dev/make_workflows.py makes them."""

from dev.workflows.cloned_voice import CLONED_VOICE
from dev.workflows.found_speakers import FOUND_SPEAKERS
from dev.workflows.graphs import DUB, FULL, QUICK, RESTORE, STILL, TWO

WORKFLOWS = [QUICK, FULL, RESTORE, STILL, DUB, CLONED_VOICE, TWO, FOUND_SPEAKERS]
