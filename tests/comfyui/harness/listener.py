"""Listens to a ComfyUI server's websocket as its page does, keeping every message and preview picture."""

from __future__ import annotations

import json
import struct
import threading
import time
from dataclasses import dataclass

import websocket

PREVIEW_IMAGE = 1  # picture kind (uint32), picture
PREVIEW_WITH_METADATA = 4  # length of the JSON (uint32), JSON, picture


@dataclass(frozen=True)
class Message:
    """One message: its type ("executing", "progress_state", "preview", ...), its data, the picture of a preview."""

    type: str
    data: dict
    at: float  # seconds, time.monotonic()
    picture: bytes = b""


class Listener:
    """Keeps `messages` in order of arrival; a thread of its own receives them until `close()`."""

    def __init__(self, host: str, client_id: str) -> None:
        self.messages: list[Message] = []
        self._socket = websocket.create_connection(f"ws://{host}/ws?clientId={client_id}", timeout=30)
        self._socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def of(self, prompt_id: str, *types: str) -> list[Message]:
        """The messages of one prompt, of some types or all."""
        mine = [message for message in list(self.messages) if message.data.get("prompt_id") == prompt_id]
        return [message for message in mine if not types or message.type in types]

    def close(self) -> None:
        """Hangs up and ends the thread."""
        self._socket.close()
        self._thread.join(timeout=5)

    def _receive(self) -> None:
        while True:
            try:
                received = self._socket.recv()
            except (websocket.WebSocketException, OSError):  # hung up, by us or by the server's end
                return
            if received in ("", b""):
                return
            self.messages.append(_message(received))


def _message(received: str | bytes) -> Message:
    if isinstance(received, str):
        content = json.loads(received)
        return Message(content["type"], content.get("data") or {}, time.monotonic())
    kind, number = struct.unpack(">II", received[:8])
    if kind == PREVIEW_WITH_METADATA:
        return Message("preview", json.loads(received[8 : 8 + number]), time.monotonic(), received[8 + number :])
    if kind == PREVIEW_IMAGE:
        return Message("preview", {}, time.monotonic(), received[8:])
    return Message(f"binary {kind}", {}, time.monotonic(), received[4:])
