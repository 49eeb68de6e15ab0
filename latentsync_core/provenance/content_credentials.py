"""Content Credentials (C2PA): a signed manifest in an MP4 or MOV that says that generative AI altered the lips.

c2pa-python does the work. It reads no address and asks no time-stamp authority. A private key is read here alone: it
goes to the library, and into no message, log or file.
"""

from __future__ import annotations

import io
import json
import mimetypes
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, OutputError
from ..media.opening import check_file
from ..progress import Progress
from ..required_packages import importing
from .film_credits import TOOL, FilmCredits
from .signing_files import SigningFiles

if TYPE_CHECKING:
    import c2pa
    from cryptography import x509

PACKAGE = "c2pa-python"
FORMATS = {".mp4": "video/mp4", ".mov": "video/quicktime"}  # the containers that can be signed, as the library has them
ALTERED_BY_AI = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MODEL_PARAMETER = "latentsync-dub.model"
SOURCE_ID = "source"  # what actions call the clip by
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    # A clip may name an address for its manifest, and a certificate one for its status: neither is asked.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
MAX_PEM_BYTES = 1 << 20  # bytes; a chain of certificates has some thousands
MIN_RSA_BITS = 2048
REPORT_SECONDS = 0.2  # between two reports of progress


def check_signable(suffix: str) -> None:
    """Raises OptionError unless films with that suffix can be signed."""
    if suffix.lower() not in FORMATS:
        shown = suffix or "a file without a suffix"
        raise OptionError(
            f"Content Credentials go into MP4 and MOV files only, not into {shown}: choose another codec, or don't "
            "sign the result."
        )


class FilmSigner:
    """Signs films with one certificate; made before long work begins, so that its mistakes show then.

    Attributes:
        name: whom the certificate names.

    Raises, when made:
        ToolError: c2pa-python is missing or too old.
        OptionError: certificate or key can't be read, or they don't belong together.
    """

    def __init__(self, files: SigningFiles) -> None:
        with importing(PACKAGE):
            import c2pa
            import cryptography.x509  # noqa: F401  # c2pa-python needs the package too

        self._files = files
        chain = _read_pem(files.certificate)
        certificate = _first_certificate(chain, files.certificate)
        algorithm, key = _algorithm_and_key(certificate, files)
        try:
            self._signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))
        except c2pa.C2paError as problem:
            raise self._refusal(problem) from None
        self.name = _common_name(certificate)

    def sign(
        self,
        film: Path,
        target: Path,
        *,
        title: str,
        credits: FilmCredits,
        source: Path | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Writes `film` with a manifest to `target`. Its pictures, sound and tables stay, at other places in the file.

        Args:
            title: the film's name in the manifest.
            source: the clip that the film was made from; a file is linked with the manifest that it has itself.
            on_progress: in bytes of `film`; whatever it raises cancels.

        Raises:
            OptionError: the library refuses the certificate.
            OutputError: `target` can't be written, or the library can't read the film.
        """
        import c2pa

        total, cancelled = film.stat().st_size, threading.Event()
        try:
            with (
                _ReadFile(film, cancelled) as reading,
                _WrittenFile(target) as writing,
                ThreadPoolExecutor(1, "content-credentials") as thread,
            ):
                # In a thread of its own: the library calls back into Python for every block, and Ctrl-C in the midst of
                # such a call would be lost, and pass for the film's end.
                job = thread.submit(self._sign, reading, writing, FORMATS[film.suffix.lower()], title, credits, source)
                try:
                    while not wait([job], REPORT_SECONDS).done:
                        if on_progress:
                            on_progress(min(reading.done, total), total)
                except BaseException:
                    cancelled.set()
                    raise
                try:
                    job.result()
                except c2pa.C2paError as problem:
                    if writing.problem is not None:
                        raise writing.problem from None
                    if str(problem).startswith("Signature: "):
                        raise self._refusal(problem) from None
                    raise OutputError(f"The film can't be signed: {_reason(problem)}.") from None
        except OSError as problem:
            raise OutputError(f"The signed copy can't be written: {problem.strerror or problem}.") from None
        if on_progress:
            on_progress(total, total)

    def _sign(
        self,
        reading: _ReadFile,
        writing: _WrittenFile,
        container: str,
        title: str,
        credits: FilmCredits,
        source: Path | None,
    ) -> None:
        import c2pa

        is_file = source is not None and source.is_file()
        clip = {"title": source.name if source else "clip in memory", "relationship": "parentOf", "label": SOURCE_ID}
        manifest = film_manifest(title, container, credits)
        if not is_file:
            manifest["ingredients"] = [clip]
        with (
            c2pa.Context(c2pa.Settings.from_dict(SETTINGS)) as context,
            c2pa.Builder(manifest, context) as builder,
        ):
            if source is not None and is_file:
                kind = mimetypes.guess_type(source.name)[0] or "application/octet-stream"
                with _ReadFile(source, reading.cancelled) as file:
                    builder.add_ingredient(json.dumps(clip), kind, file)
            builder.sign(self._signer, container, reading, writing)

    def _refusal(self, problem: c2pa.C2paError) -> OptionError:
        return OptionError(
            f"The film can't be signed with {self._files.certificate} ({_reason(problem)}): the certificate must be "
            "valid now, of version 3 and for signing documents or e-mail; its issuer's must follow in the same file."
        )


def film_manifest(title: str, container: str, credits: FilmCredits) -> dict[str, Any]:
    """The definition of a film's manifest: the clip was opened, and its lips were generated or else only encoded."""
    agent = {"name": TOOL, "version": credits.version}
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [SOURCE_ID]}}
    generated = {
        "action": "c2pa.edited",
        "digitalSourceType": ALTERED_BY_AI,
        "softwareAgent": agent,
        "description": f"The lips were generated by AI to follow a voice. Model: {credits.model}",
        "parameters": {MODEL_PARAMETER: credits.model},
    }
    encoded = {"action": "c2pa.transcoded", "softwareAgent": agent}
    actions = [opened, generated if credits.model else encoded]
    return {
        "claim_generator_info": [agent],
        "title": title,
        "format": container,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def is_signed(film: Path) -> bool:
    """Whether a film that can be signed has a manifest already, whatever that is worth.

    Raises:
        ToolError: c2pa-python is missing or too old.
    """
    with importing(PACKAGE):
        import c2pa

    with c2pa.Context(c2pa.Settings.from_dict(SETTINGS)) as context, film.open("rb") as file:
        try:
            reader = c2pa.Reader.try_create(FORMATS[film.suffix.lower()], file, context=context)
        except c2pa.C2paError:
            return True  # one that can't be read
        if reader is None:
            return False
        reader.close()
        return True


class _ReadFile(io.BufferedReader):
    """Counts the bytes that the library reads, and lets it read no further once the job is cancelled."""

    def __init__(self, path: Path, cancelled: threading.Event) -> None:
        super().__init__(io.FileIO(path))
        self.cancelled, self.done = cancelled, 0

    def readinto(self, buffer: Any, /) -> int:
        if self.cancelled.is_set():
            raise OSError("cancelled")
        count = super().readinto(buffer)
        self.done += count
        return count


class _WrittenFile(io.FileIO):
    """Keeps why it couldn't be written; the library only learns that it couldn't."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")  # without a buffer, so that no block fails later than it is written
        self.problem: OSError | None = None

    def write(self, data: Any, /) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as problem:
            self.problem = problem
            raise
        return len(data)


def _reason(problem: c2pa.C2paError) -> str:
    """The library's own words, without the kind of the error before them."""
    text = str(problem)
    return (text.partition(": ")[2] or text).strip().rstrip(".")


def _read_pem(path: Path) -> bytes:
    check_file(path, OptionError)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PEM_BYTES + 1)
    except OSError as problem:
        raise OptionError(f"{path} can't be read ({problem.strerror or problem}): check its permissions.") from None
    if len(text) > MAX_PEM_BYTES:
        raise OptionError(f"{path} is larger than any certificate or key: give the PEM file.")
    return text


def _first_certificate(chain: bytes, path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise OptionError(
            f"{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----): give the signer's, followed by those "
            "that vouch for it."
        ) from None


def _algorithm_and_key(certificate: x509.Certificate, files: SigningFiles) -> tuple[str, bytes]:
    """The signature algorithm, as C2PA names it, and the private key in PKCS 8, the one form that the library reads."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = serialization.load_pem_private_key(_read_pem(files.key), password=None)
    except TypeError:
        raise OptionError(
            f"The private key in {files.key} has a passphrase, which is never asked for: give a file without one that "
            "only you can read (openssl pkey -in KEY -out FILE)."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise OptionError(
            f"{files.key} holds no private key in PEM (-----BEGIN PRIVATE KEY-----): give the one that belongs to the "
            f"certificate in {files.certificate}."
        ) from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise OptionError(
            f"The private key in {files.key} is not that of the first certificate in {files.certificate}: give the two "
            "that were issued together, the signer's own certificate first."
        )
    algorithm = None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = CURVES.get(key.curve.name)
    elif isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        algorithm = "ps256"
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "ed25519"
    if algorithm is None:
        raise OptionError(
            f"Keys of the kind in {files.key} don't sign Content Credentials: use an elliptic curve (P-256, P-384 or "
            f"P-521), Ed25519, or RSA of {MIN_RSA_BITS} bits or more."
        )
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return algorithm, key.private_bytes(*pem)


def _common_name(certificate: x509.Certificate) -> str:
    """Whom the certificate names, on one line."""
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else certificate.subject.rfc4514_string()
    return "".join(letter if letter.isprintable() else "?" for letter in name)
