"""Persons have letters for people and numbers for data; both are read back."""

from __future__ import annotations

import pytest

from latentsync_core.faces.identity.person_names import no_such_person, person_letter, person_name, read_person


@pytest.mark.parametrize(
    ("number", "letter"), [(0, "A"), (1, "B"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
)
def test_numbers_and_letters_name_the_same_person(number, letter):
    assert person_letter(number) == letter
    assert person_name(number) == f"person {letter}"
    texts = (letter, letter.lower(), f" {letter} ", f"person {letter}", f"Person  {letter}", str(number))
    assert {read_person(text) for text in (*texts, f"person {number}")} == {number}


@pytest.mark.parametrize("text", ["", "person", "-1", "1.5", "A1", "ABCD", "É", "²", "personB", "1" * 10, "A B"])
def test_anything_else_is_nobody(text):
    assert read_person(text) is None


def test_a_negative_number_has_no_letter():
    with pytest.raises(ValueError, match="numbers begin at 0"):
        person_letter(-1)


def test_an_error_names_who_there_is():
    assert no_such_person(2, 1) == "there is no person C (2); the clip has person A (0) alone"
    assert no_such_person(27, 3) == "there is no person AB (27); the clip has persons A to C (0 to 2)"
