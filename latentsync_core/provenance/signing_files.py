"""Which files a film is signed with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SigningFiles:
    """Where the means to sign a film are, both in PEM."""

    certificate: Path  # the signer's, and after it those that vouch for it, up to but not necessarily with the root
    key: Path  # the private key of the first, without a passphrase
