"""Pairs H.264 field pictures (PAFF): two packets, or two pictures in one packet, are one frame.

Decoding would pair them as well, but takes minutes for an hour of film; the slice headers tell it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

START_CODE = re.compile(rb"\x00\x00\x01")
SLICES = (1, 5)  # types of NAL units: of a picture, of one from which decoding can start
SPS, PPS = 7, 8
HEADER_BYTES = 64  # of a slice: more than its header takes up to the field flags
MAX_PARAMETER_BYTES = 512  # of a parameter set: more than one takes up to what is read here
# Profiles whose parameter sets state the chroma format.
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


@dataclass(frozen=True)
class Picture:
    """What a slice header tells of its picture."""

    frame_number: int  # the codec's own count, modulo some power of two
    is_bottom: bool | None  # None: not a field but a whole frame
    first_macroblock: int


@dataclass(frozen=True)
class _Sequence:
    """A sequence parameter set, as far as slice headers depend on it."""

    frame_number_bits: int
    has_fields: bool
    has_separate_planes: bool


class FieldPictures:
    """Reads the pictures in a stream's packets, from its parameter sets on.

    Args:
        extradata: the stream's: avcC of MP4 and Matroska, or parameter sets with start codes.

    Attributes:
        is_known: whether a packet was read, which may hold parameter sets of its own.
    """

    def __init__(self, extradata: bytes) -> None:
        self.is_known = False
        self._length_bytes = 0  # of what stands before each NAL unit; 0: start codes do
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of_set: dict[int, int] = {}  # picture parameter set → its sequence parameter set
        if len(extradata) > 6 and extradata[0] == 1:
            self._length_bytes = (extradata[4] & 3) + 1
            self._read_avcc(extradata)
        else:
            for unit in _split_at_start_codes(memoryview(extradata)):
                self._read_parameters(unit)

    @property
    def may_occur(self) -> bool:
        """Whether the parameter sets so far allow fields, or there are none."""
        return not self._sequences or any(sequence.has_fields for sequence in self._sequences.values())

    def of_packet(self, data: memoryview) -> list[Picture]:
        """The pictures in a packet, each once; empty where its headers can't be read."""
        self.is_known = True
        units = _split_by_length(data, self._length_bytes) if self._length_bytes else _split_at_start_codes(data)
        pictures: list[Picture] = []
        for unit in units:
            if not len(unit):
                continue
            if unit[0] & 31 in SLICES:
                picture = self._read_slice(unit)
                if picture is None:
                    return []
                if picture.first_macroblock == 0 or not pictures:
                    pictures.append(picture)
            else:
                self._read_parameters(unit)
        return pictures

    def _read_avcc(self, extradata: bytes) -> None:
        at = 5
        for mask in (31, 255):  # how many sequence sets, how many picture sets
            if at >= len(extradata):
                return
            count, at = extradata[at] & mask, at + 1
            for _ in range(count):
                length = int.from_bytes(extradata[at : at + 2], "big")
                self._read_parameters(memoryview(extradata)[at + 2 : at + 2 + length])
                at += 2 + length

    def _read_parameters(self, unit: memoryview) -> None:
        kind = unit[0] & 31 if len(unit) else 0
        if kind not in (SPS, PPS):
            return
        bits = _BitReader(unit[1 : 1 + MAX_PARAMETER_BYTES])
        try:
            if kind == PPS:
                number = bits.exp_golomb()
                self._sequence_of_set[number] = bits.exp_golomb()
            else:
                number, sequence = _read_sequence(bits)
                self._sequences[number] = sequence
        except IndexError:  # cut short
            return

    def _read_slice(self, unit: memoryview) -> Picture | None:
        bits = _BitReader(unit[1 : 1 + HEADER_BYTES])
        try:
            first_macroblock = bits.exp_golomb()
            bits.exp_golomb()  # the slice's type
            sequence = self._sequences.get(self._sequence_of_set.get(bits.exp_golomb(), -1))
            if sequence is None:
                return None
            if sequence.has_separate_planes:
                bits.unsigned(2)
            frame_number = bits.unsigned(sequence.frame_number_bits)
            is_field = sequence.has_fields and bits.unsigned(1)
            return Picture(frame_number, bool(bits.unsigned(1)) if is_field else None, first_macroblock)
        except IndexError:
            return None


class FieldPairing:
    """Tells of each picture whether a frame begins with it.

    Attributes:
        is_sound: whether every field found its other one.
    """

    def __init__(self) -> None:
        self.is_sound = True
        self._open: Picture | None = None  # a first field whose second one is to come

    def begins_frame(self, picture: Picture) -> bool:
        """Takes the next picture in coding order."""
        first, self._open = self._open, None
        if picture.is_bottom is None:
            self.is_sound &= first is None
            return True
        if first is not None and first.is_bottom != picture.is_bottom and first.frame_number == picture.frame_number:
            return False
        self.is_sound &= first is None
        self._open = picture
        return True

    def finish(self) -> None:
        """After the last picture."""
        self.is_sound &= self._open is None


class _BitReader:
    """Syntax elements of an H.264 payload. IndexError beyond its end."""

    def __init__(self, payload: memoryview) -> None:
        data = bytes(payload).replace(b"\0\0\3", b"\0\0")  # without the bytes that prevent start codes
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def unsigned(self, width: int) -> int:
        end = self._at + width
        if end > len(self._bits):
            raise IndexError("the payload ends within an element")
        value = int(self._bits[self._at : end], 2) if width else 0
        self._at = end
        return value

    def exp_golomb(self) -> int:
        one = self._bits.find("1", self._at)
        if one < 0:
            raise IndexError("the payload ends within an element")
        zeros = one - self._at
        self._at = one
        return self.unsigned(zeros + 1) - 1

    def skip_exp_golomb(self, count: int) -> None:
        for _ in range(count):
            self.exp_golomb()


def _read_sequence(bits: _BitReader) -> tuple[int, _Sequence]:
    """A sequence parameter set's number and content; ITU-T H.264, 7.3.2.1.1."""
    profile = bits.unsigned(8)
    bits.unsigned(16)  # constraints, level
    number = bits.exp_golomb()
    separate = False
    if profile in HIGH_PROFILES:
        chroma = bits.exp_golomb()
        separate = chroma == 3 and bool(bits.unsigned(1))
        bits.skip_exp_golomb(2)  # bit depths
        bits.unsigned(1)
        if bits.unsigned(1):
            _skip_scaling_lists(bits, 8 if chroma != 3 else 12)
    frame_number_bits = bits.exp_golomb() + 4
    order_type = bits.exp_golomb()
    if order_type == 0:
        bits.exp_golomb()
    elif order_type == 1:
        bits.unsigned(1)
        bits.skip_exp_golomb(2)
        bits.skip_exp_golomb(bits.exp_golomb())
    bits.exp_golomb()  # reference frames
    bits.unsigned(1)
    bits.skip_exp_golomb(2)  # size
    return number, _Sequence(frame_number_bits, not bits.unsigned(1), separate)


def _skip_scaling_lists(bits: _BitReader, count: int) -> None:
    for number in range(count):
        if not bits.unsigned(1):
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                code = bits.exp_golomb()
                following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
            last = following or last


def _split_at_start_codes(data: memoryview) -> Iterator[memoryview]:
    begin = None
    for code in START_CODE.finditer(data):
        if begin is not None:
            yield data[begin : code.start()]
        begin = code.end()
    if begin is not None:
        yield data[begin:]


def _split_by_length(data: memoryview, length_bytes: int) -> Iterator[memoryview]:
    at = 0
    while at + length_bytes < len(data):
        length = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        yield data[at : at + length]
        at += length
