"""Names of persons for people to read: person 0 is A, person 25 is Z, person 26 is AA. Data keeps the numbers."""

from __future__ import annotations

import re

LETTERS = 26
MAX_LETTERS = 3
MAX_DIGITS = 9


def person_letter(person: int) -> str:
    """The letters of a person's number, as columns of a spreadsheet are named; NumPy's integers count as well.

    Raises:
        ValueError: the number is negative.
    """
    if person < 0:
        raise ValueError(f"person {person} has no letter; numbers begin at 0")
    letters, rest = "", int(person) + 1
    while rest:
        rest, last = divmod(rest - 1, LETTERS)
        letters = chr(ord("A") + last) + letters
    return letters


def person_name(person: int) -> str:
    """What pictures, reports and messages call a person, such as "person B" for number 1."""
    return f"person {person_letter(person)}"


def read_person(text: str) -> int | None:
    """The number of "B", "b", "1", "person B" or "person 1", which all are person 1; None for anything else."""
    who = rf"([0-9]{{1,{MAX_DIGITS}}})|([a-z]{{1,{MAX_LETTERS}}})"
    match = re.fullmatch(rf"(?:person\s+)?(?:{who})", text.strip().lower())
    if match is None:
        return None
    if match[1]:
        return int(match[1])
    number = 0
    for letter in match[2]:
        number = number * LETTERS + ord(letter) - ord("a") + 1
    return number - 1


def no_such_person(person: int, count: int) -> str:
    """The start of an error: the person who isn't there, and those who are, by letter and number."""
    known = "person A (0) alone" if count == 1 else f"persons A to {person_letter(count - 1)} (0 to {count - 1})"
    return f"there is no {person_name(person)} ({person}); the clip has {known}"
