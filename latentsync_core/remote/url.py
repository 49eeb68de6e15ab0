"""URLs of media: which ones may be fetched, what is sent for them, and how they are shown without their secrets."""

from __future__ import annotations

import hashlib
import os
import re
import string
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from ..errors import DownloadError

SCHEMES = r"https?|ftps?|sftp|file|data|blob|rtsps?|rtmps?|rtp|udp|tcp|srt|mms|s3|gs|concat|subfile|pipe"
URL_SAFE_CHARACTERS = "%/:@!$&'()*+,;=~-._"  # in a path; all else is percent-encoded


def looks_like_url(text: str) -> bool:
    """Whether a command line's argument means a URL rather than a file; a drive letter is no scheme."""
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return True
    return re.match(rf"(?:{SCHEMES}):", text, re.IGNORECASE) is not None and not os.path.exists(text)


def redact_url(text: str) -> str:
    """`text` for a message: without the credentials and the query of a URL in it."""
    return re.sub(r"//[^/\s]*@", "//", re.sub(r"[?#].*", "", text, flags=re.DOTALL)) if ":/" in text else text


@dataclass(frozen=True, repr=False)
class Url:
    """An https: URL that may be asked for; as a string it is host and file name, since the rest may hold secrets."""

    host: str  # lower case, ASCII
    port: int
    target: str  # path and query, as they are sent

    @classmethod
    def parse(cls, text: str) -> Url:
        """Raises DownloadError: another scheme, credentials, control characters, or no host."""
        scheme, colon, _ = text.partition(":")
        scheme = scheme.lower()
        if scheme == "http":
            raise DownloadError("an http: URL is not fetched, since nothing vouches for what comes; use https:")
        if scheme == "file":
            raise DownloadError("a file: URL is not opened; give the file's path instead")
        if scheme != "https" or not colon:
            raise DownloadError(
                f"a {scheme[:12]!r} URL is not fetched, only https: is; download the file and give its path"
            )
        if re.search(r"[\x00-\x1f\x7f\\]", text):
            raise DownloadError("the URL holds a control character or a backslash; copy it again")
        if "@" in re.split(r"[/?#]", text.partition("//")[2], maxsplit=1)[0]:
            raise DownloadError("the URL holds a user name or password, which is never sent; use a share link")
        no_host = DownloadError("the URL has no valid host name or port; write https://host/file.mp4")
        try:
            parts = urlsplit(text)
            host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii").lower()
            port = parts.port or 443
        except ValueError:  # a wrong port, bracket or international name
            raise no_host from None
        if not re.fullmatch(r"[a-z0-9_.-]+|[0-9a-f:.]+", host):
            raise no_host
        query = f"?{quote(parts.query, safe=URL_SAFE_CHARACTERS + '?')}" if parts.query else ""
        return cls(host, port, quote(parts.path or "/", safe=URL_SAFE_CHARACTERS) + query)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def file_name(self) -> str:
        """The path's last part, as it is sent; may be empty."""
        return self.target.partition("?")[0].rpartition("/")[2].partition(";")[0]

    @property
    def digest(self) -> str:
        """24 hex digits that stand for the whole URL."""
        return hashlib.sha256(f"https://{self.authority}{self.target}".encode()).hexdigest()[:24]

    def resolve_redirect(self, location: str) -> Url:
        """Where a redirect leads. Raises DownloadError."""
        location = quote(location.encode("latin-1", "replace"), safe=string.punctuation)
        try:
            return Url.parse(urljoin(f"https://{self.authority}{self.target}", location))
        except (DownloadError, ValueError) as problem:
            why = problem if isinstance(problem, DownloadError) else "the URL there can't be read"
            raise DownloadError(f"{self} redirects elsewhere, and that is refused: {why}.") from None

    def __str__(self) -> str:
        deep = ".../" if self.target.partition("?")[0].count("/") > 1 else ""
        return f"{self.authority}/{deep}{self.file_name[:80]}"

    __repr__ = __str__
