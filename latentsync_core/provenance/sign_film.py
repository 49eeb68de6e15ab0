"""Signs a film that is written already: one that ComfyUI saved, or one whose job couldn't sign it."""

from __future__ import annotations

from pathlib import Path

from ..errors import OptionError, OutputError, VideoError
from ..files.output_checks import check_disk_space, check_target
from ..files.scratch import atomic_write
from ..media.opening import check_file, open_container
from ..progress import Progress
from .content_credentials import FilmSigner, check_signable, is_signed
from .film_credits import TOOL, FilmCredits
from .signing_files import SigningFiles


def sign_film(
    film: Path, files: SigningFiles, source: Path | None = None, on_progress: Progress | None = None
) -> tuple[FilmCredits, str]:
    """Puts a manifest into `film`, which the signed copy replaces when it is whole.

    Returns:
        What the manifest says of the film, and whom the certificate names.

    Args:
        source: the clip that the film was made from.

    Raises:
        VideoError: the film can't be read.
        OptionError: it isn't one of this tool's, or is signed already; and as `FilmSigner`.
        OutputError: the signed copy can't be written; the film is left unchanged.
    """
    check_signable(film.suffix)
    if source is not None:
        check_file(source, OptionError)
    with open_container(film, VideoError) as container:
        credits = FilmCredits.of(container.metadata)
    if credits is None:
        raise OptionError(
            f"{film} doesn't say that {TOOL} generated its lips: sign the file as it was written, before other "
            "programs write it again."
        )
    if is_signed(film):
        raise OptionError(f"{film} has Content Credentials already: sign the file as it was written.")
    signer = FilmSigner(files)
    check_target(film)
    check_disk_space(film.parent, film.stat().st_size, f"the signed copy of {film.name}")
    try:
        with atomic_write(film) as partial:
            signer.sign(film, partial, title=film.name, credits=credits, source=source, on_progress=on_progress)
    except OSError as problem:
        raise OutputError(f"{film} can't be replaced: {problem.strerror or problem}.") from None
    return credits, signer.name
