"""Rows of a batch as they are read: their settings by the options of `sync`, and what does them; without PyTorch."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ...batch.job_list import Job
from ...errors import OptionError
from ...remote.inputs import UrlArgument
from ...sync_options import Speaker
from ..options import add_sync_options

YES, NO = ("yes", "true", "1", "on", "x"), ("no", "false", "0", "off")  # values of a setting without a value of its own
OF_THE_BATCH = ("json", "download-limit")  # the same for all rows
WHERE_ONLY = (
    "out",
    "work_folder",
    "models_folder",
    "device",
    "offload",
    "download_limit",
)  # results don't depend on it


class RowParser(argparse.ArgumentParser):
    """Reads a row's settings by the options of `sync`; `defaults` hold where the row gives none."""

    def __init__(self, defaults: argparse.Namespace | None = None) -> None:
        super().__init__(prog="batch", add_help=False, allow_abbrev=False)
        add_sync_options(self, is_batch=True)
        self._action_of = {name.lstrip("-"): action for action in self._actions for name in action.option_strings}
        if defaults is not None:
            self.set_defaults(**vars(defaults))

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message[0].upper()}{message[1:]}.")

    def read(self, job: Job, folder: Path) -> argparse.Namespace:
        """The options of a row; its relative paths start from `folder`.

        Raises:
            OptionError: a setting that `sync` doesn't have, a value that it doesn't take, or one that is missing.
        """
        counts = Counter(name for name, _ in job.settings)
        arguments = []
        for name, value in job.settings:
            action = self._action_of.get(name)
            if action is None or name in OF_THE_BATCH:
                raise OptionError(f"There is no setting {name!r}: columns are named as the options of `sync` are.")
            if action.nargs == 0:  # a switch
                if value.lower() not in YES + NO:
                    raise OptionError(f"{name} is {value!r}; write yes or no.")
                arguments += [f"--{name}"] if value.lower() in YES else []
                continue
            if counts[name] > 1 and name != "speaker":
                raise OptionError(f"{name} is given {counts[name]} times; give it once.")
            arguments.append(f"--{name}={value}")
        options = self.parse_args(arguments)
        for name, count in counts.items():
            attribute = self._action_of[name].dest
            setattr(options, attribute, rooted(attribute, getattr(options, attribute), count, folder))
        for name in ("video", "audio"):
            if getattr(options, name) is None:
                raise OptionError(f"The row has no {name}: {_what_is_missing(name)}.")
        return options


def rooted(attribute: str, value, count: int, folder: Path):
    """What was given, with `folder` before its relative paths; of a list only its last `count` elements."""
    if isinstance(value, list):
        return [*value[:-count], *(rooted(attribute, one, 1, folder) for one in value[-count:])]
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, Speaker):
        return dataclasses.replace(
            value, **{part: rooted(part, getattr(value, part), 1, folder) for part in ("audio", "picture")}
        )
    if attribute == "out" or (attribute == "model" and (folder / value).exists()):
        return str(folder / value)
    return value


def _what_is_missing(name: str) -> str:
    return "name the clip in the column video" if name == "video" else "name the voice in the column audio"


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """What all rows of a batch have in common."""

    defaults: argparse.Namespace  # the settings of rows that give none
    folder: Path  # from which a row's relative paths start
    out_folder: Path | None  # for the results of rows that name none
    records: Path
    device: str | None = None  # the worker's own, whatever the rows say
    threads: int | None = None  # of PyTorch; None: its own choice
    split_over: float = 0.0  # minutes of a clip beyond which its row is done in parts; 0: never


def plain_value(value: object) -> object:
    """A value as a digest takes it: a URL hides its text from its repr."""
    if isinstance(value, UrlArgument):
        return value.text
    if isinstance(value, (list, tuple)):
        return [plain_value(one) for one in value]
    if isinstance(value, Speaker):
        return [plain_value(value.audio), value.choice, plain_value(value.picture)]
    return value


def given_urls(options: argparse.Namespace) -> Iterator[UrlArgument]:
    """Every URL among a row's options."""
    for value in vars(options).values():
        for one in value if isinstance(value, list) else [value]:
            for part in (one.audio, one.picture) if isinstance(one, Speaker) else (one,):
                if isinstance(part, UrlArgument):
                    yield part


def input_paths(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Every file that a row reads: which of its options names it, and where it is."""
    for name, value in vars(options).items():
        if name in WHERE_ONLY:
            continue
        if name == "model":
            value = Path(value) if Path(value).exists() else None
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            media = (one.audio, one.picture) if isinstance(one, Speaker) else (one,)
            for part, path in enumerate(media):
                if isinstance(path, Path):
                    yield f"{name} {number} {part}", path
