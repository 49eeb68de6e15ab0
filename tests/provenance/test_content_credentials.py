"""A signed film says who altered it and how; pictures and sound stay, and a changed byte shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

c2pa = pytest.importorskip("c2pa", reason="signing needs c2pa-python: pip install c2pa-python")

from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

from latentsync_core.audio.sound_tracks import find_track  # noqa: E402
from latentsync_core.cli.commands import EXIT_ERROR, main  # noqa: E402
from latentsync_core.cli.wording import WORDS  # noqa: E402
from latentsync_core.errors import LatentSyncError, OptionError, OutputError, VideoError  # noqa: E402
from latentsync_core.media.ffmpeg import run_ffmpeg  # noqa: E402
from latentsync_core.provenance.content_credentials import (  # noqa: E402
    ALTERED_BY_AI,
    FilmSigner,
    check_signable,
)
from latentsync_core.provenance.film_credits import VERSION, FilmCredits  # noqa: E402
from latentsync_core.provenance.sign_film import sign_film  # noqa: E402
from latentsync_core.provenance.signing_files import SigningFiles  # noqa: E402
from latentsync_core.sample_scene import SCENE, VOICE  # noqa: E402
from latentsync_core.video.reading.probing import probe  # noqa: E402
from latentsync_core.video.reading.reader import FrameReader  # noqa: E402
from latentsync_core.video.writing.writer import FrameWriter  # noqa: E402
from latentsync_core.video.writing.writer_options import Codec, WriterOptions  # noqa: E402
from tests.clips import make_clip  # noqa: E402
from tests.provenance.certificates import SIGNER, Issued, issue, secret_lines  # noqa: E402
from tests.provenance.manifests import checked, manifest  # noqa: E402
from tests.shared_reference import ROOT  # noqa: E402

NANO = FilmCredits("nano")
AGENT = {"name": "LatentSync Dub", "version": VERSION}
CODECS = {"mp4": Codec.H264, "mov": Codec.PRORES}


@pytest.fixture(scope="module")
def issued(tmp_path_factory) -> Issued:
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("source") / "scene.mp4", frames=5, audio=("-c:a", "aac"))


def write(source: Path, path: Path, codec: Codec = Codec.H264, sign=None) -> FrameWriter:
    """The clip's frames with its sound as a film of nano's; returns the writer after its job."""
    clip = probe(source)
    options = WriterOptions(codec, preset="ultrafast")
    sound = find_track(source, clip)[0]
    writer = FrameWriter(path, clip, options=options, pts=clip.pts, audio=sound, credits=NANO)
    writer.sign = sign
    writer.preflight()
    with FrameReader(clip) as frames, writer:
        for frame in frames:
            writer.write(frame)
    return writer


def signing(files: SigningFiles, source: Path | None, title: str = "film"):
    return partial(FilmSigner(files).sign, title=title, credits=NANO, source=source)


def failures(film: Path) -> set[str]:
    return {one["code"] for one in checked(film)["validation_results"]["activeManifest"]["failure"]}


def decoded(film: Path) -> bytes:
    """Check sums and times of every decoded picture and block of samples."""
    return run_ffmpeg(["-i", str(film), "-map", "0", "-f", "framemd5", "-"], error=VideoError, what="decoding")


@pytest.fixture(scope="module", params=list(CODECS))
def film(request, tmp_path_factory, source, issued) -> Path:
    """A signed film; beside it, as plain.EXT, the same one without a signature."""
    folder, codec = tmp_path_factory.mktemp("film"), CODECS[request.param]
    write(source, folder / f"plain.{request.param}", codec)
    return write(source, folder / f"film.{request.param}", codec, signing(issued.files, source, "My film")).path


# --- what a signed film holds ----------------------------------------------------------------------------------------


def test_the_reader_trusts_a_signed_film_where_it_trusts_the_authority(film, issued):
    assert checked(film, issued.authority)["validation_state"] == "Trusted"
    assert checked(film)["validation_state"] == "Valid"
    assert manifest(film)["signature_info"]["common_name"] == SIGNER


def test_the_manifest_says_that_ai_altered_the_clip(film):
    found = manifest(film)
    assert found["title"] == "My film"
    assert found["claim_generator_info"][0].items() >= AGENT.items()
    (actions,) = (one["data"]["actions"] for one in found["assertions"] if one["label"] == "c2pa.actions.v2")
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    opened, edited = actions
    assert opened["parameters"]["ingredients"][0]["url"].endswith("c2pa.ingredient.v3")
    assert edited["digitalSourceType"] == ALTERED_BY_AI
    assert edited["softwareAgent"] == AGENT
    assert edited["parameters"] == {"latentsync-dub.model": "nano"}
    (parent,) = found["ingredients"]
    assert (parent["title"], parent["relationship"]) == ("scene.mp4", "parentOf")


def test_there_is_no_time_stamp_of_an_authority(film):
    assert "time" not in manifest(film)["signature_info"]


def test_pictures_sound_times_and_texts_stay(film):
    plain = film.with_stem("plain")
    assert decoded(film) == decoded(plain)
    assert plain.stat().st_size < film.stat().st_size < plain.stat().st_size + 50_000


def test_one_changed_byte_of_the_media_is_detected(film, tmp_path):
    changed = tmp_path / film.name
    content = bytearray(film.read_bytes())
    content[content.rindex(b"mdat") + 200] ^= 1
    changed.write_bytes(content)
    assert checked(changed)["validation_state"] == "Invalid"
    assert "assertion.bmffHash.mismatch" in failures(changed)
    assert failures(film) == set()


def test_the_manifest_of_a_signed_source_goes_along(source, issued, tmp_path):
    first = write(source, tmp_path / "first.mp4", sign=signing(issued.files, source, "first")).path
    second = write(first, tmp_path / "second.mp4", sign=signing(issued.files, first, "second")).path
    found = checked(second, issued.authority)
    assert {one["title"] for one in found["manifests"].values()} == {"first", "second"}
    assert found["validation_state"] == "Trusted"
    (parent,) = found["manifests"][found["active_manifest"]]["ingredients"]
    assert found["manifests"][parent["active_manifest"]]["title"] == "first"


@pytest.mark.parametrize("kind", ["folder", "mkv", "memory"])
def test_sources_that_hold_no_manifest_are_named(source, issued, tmp_path, kind):
    made_from = {"folder": tmp_path, "mkv": make_clip(tmp_path / "scene.mkv"), "memory": None}[kind]
    film = write(source, tmp_path / "film.mp4", sign=signing(issued.files, made_from)).path
    assert manifest(film)["ingredients"][0]["title"] == (made_from.name if made_from else "clip in memory")
    assert checked(film, issued.authority)["validation_state"] == "Trusted"


def test_a_film_without_generated_lips_claims_none(source, issued, tmp_path):
    sign = partial(FilmSigner(issued.files).sign, title="film", credits=FilmCredits(), source=source)
    film = write(source, tmp_path / "film.mp4", sign=sign).path
    (actions,) = (one["data"]["actions"] for one in manifest(film)["assertions"] if "actions" in one["label"])
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.transcoded"]
    assert ALTERED_BY_AI not in json.dumps(actions)


# --- keys and certificates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "PKCS8"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "TraditionalOpenSSL"),
        (lambda: rsa.generate_private_key(65537, 2048), "TraditionalOpenSSL"),
        (ed25519.Ed25519PrivateKey.generate, "PKCS8"),
    ],
    ids=["P-384", "SEC 1", "RSA in PKCS 1", "Ed25519"],
)
def test_every_usual_key_signs(source, tmp_path, make, form):
    made = issue(tmp_path / "keys", make(), form=getattr(serialization.PrivateFormat, form))
    plain = write(source, tmp_path / "plain.mp4").path
    signing(made.files, source)(plain, tmp_path / "film.mp4")
    assert checked(tmp_path / "film.mp4", made.authority)["validation_state"] == "Trusted"


def mistakes(folder: Path) -> dict[str, tuple[SigningFiles, str]]:
    """Files that can't sign, and what the message says."""
    good, other = issue(folder / "good").files, issue(folder / "other").files
    text, empty, large = folder / "text.pem", folder / "empty.pem", folder / "large.pem"
    text.write_text("no PEM at all")
    empty.touch()
    large.write_bytes(bytes(2 << 20))
    reversed_chain = folder / "reversed.pem"
    parts = good.certificate.read_text().split("-----BEGIN")
    reversed_chain.write_text("".join(f"-----BEGIN{part}" for part in reversed(parts[1:])))
    weak = issue(folder / "weak", ec.generate_private_key(ec.SECP256K1())).files
    locked = issue(folder / "locked", passphrase=b"secret").files
    return {
        "key of another": (SigningFiles(good.certificate, other.key), "is not that of the first certificate"),
        "chain in the wrong order": (SigningFiles(reversed_chain, good.key), "the signer's own certificate first"),
        "no certificate": (SigningFiles(text, good.key), "holds no certificate in PEM"),
        "a key as certificate": (SigningFiles(good.key, good.key), "holds no certificate in PEM"),
        "no key": (SigningFiles(good.certificate, text), "holds no private key in PEM"),
        "a certificate as key": (SigningFiles(good.certificate, good.certificate), "holds no private key in PEM"),
        "passphrase": (locked, "has a passphrase"),
        "curve": (weak, "P-256, P-384 or P-521"),
        "missing": (SigningFiles(good.certificate, folder / "none.pem"), "There is no file"),
        "folder": (SigningFiles(folder, good.key), "is a folder"),
        "empty": (SigningFiles(good.certificate, empty), "is empty"),
        "large": (SigningFiles(large, good.key), "larger than any certificate"),
    }


def test_wrong_files_are_refused_with_their_reason_and_nothing_of_the_key(tmp_path):
    for name, (files, reason) in mistakes(tmp_path).items():
        with pytest.raises(OptionError) as caught:
            FilmSigner(files)
        shown = str(caught.value)
        assert reason in shown, name
        assert str(files.key) in shown or str(files.certificate) in shown, name
        assert not [line for line in secret_lines(tmp_path) if line in shown], name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"days": -1}, "not valid at time of signing"), ({"for_documents": False}, "certificate is invalid")],
    ids=["expired", "for another use"],
)
def test_a_certificate_that_the_library_refuses_shows_before_the_work(source, tmp_path, changes, reason):
    files, clip = issue(tmp_path / "keys", **changes).files, probe(source)
    (tmp_path / "out").mkdir()
    writer = FrameWriter(tmp_path / "out" / "film.mp4", clip, options=WriterOptions(), pts=clip.pts)
    writer.sign = signing(files, source)
    with pytest.raises(OptionError, match=reason) as caught:
        writer.preflight()
    assert "for signing documents or e-mail" in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


# --- the command line ------------------------------------------------------------------------------------------------


def sync_arguments(out: Path, codec: str = "h264") -> list[str]:
    media = ["--video", str(SCENE), "--audio", str(VOICE), "--end", "0.12", "--out", str(out), "--codec", codec]
    return ["sync", *media, "--model", "untrained", "--steps", "1", "--cfg", "1"]


def signing_arguments(files: SigningFiles) -> list[str]:
    return ["--c2pa-certificate", str(files.certificate), "--c2pa-key", str(files.key)]


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs a command that must fail before its work; returns the sentence."""

    def run(arguments: list[str]) -> str:
        there = sorted(tmp_path.rglob("*"))
        code = main(arguments)
        printed = capsys.readouterr()
        assert code == EXIT_ERROR, printed.err
        assert sorted(tmp_path.rglob("*")) == there
        assert "Loading the model" not in printed.err
        return printed.err.strip().splitlines()[-1]

    return run


@pytest.mark.parametrize("codec", ["ffv1", "png", "tiff"])
def test_other_containers_are_refused_before_the_work(refused, issued, tmp_path, codec):
    sentence = refused([*sync_arguments(tmp_path / "out", codec), *signing_arguments(issued.files)])
    assert f"MP4 and MOV files only, not into {Codec(codec).suffix}" in sentence


def test_matching_a_source_in_another_container_is_refused_before_the_work(refused, issued, tmp_path):
    clip = make_clip(tmp_path / "scene.mkv", encoder=("-c:v", "ffv1"))
    arguments = sync_arguments(tmp_path / "out", "match-source")
    arguments[arguments.index(str(SCENE))] = str(clip)
    assert "not into .mkv" in refused([*arguments, *signing_arguments(issued.files)])


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_certificate_and_key_need_each_other(refused, issued, tmp_path, given):
    path = getattr(issued.files, given)
    sentence = refused([*sync_arguments(tmp_path / "out.mp4"), f"--c2pa-{given}", str(path)])
    assert "give both, or neither" in sentence


def test_a_result_never_replaces_the_key(refused, issued, tmp_path):
    key = shutil.copy(issued.files.key, tmp_path / "film.mp4")
    files = SigningFiles(issued.files.certificate, Path(key))
    assert "is the private key, which the result would overwrite" in refused(
        [*sync_arguments(tmp_path / "film.mp4"), *signing_arguments(files)]
    )


WITHOUT_PACKAGES = """
from latentsync_core.errors import ToolError
from latentsync_core.provenance.content_credentials import FilmSigner
from latentsync_core.provenance.signing_files import SigningFiles
try:
    FilmSigner(SigningFiles("chain.pem", "key.pem"))
except ToolError as problem:
    print(problem)
"""


def test_a_missing_package_is_answered_with_the_command_that_adds_it():
    command = [sys.executable, "-S", "-c", WITHOUT_PACKAGES]  # -S: none of the installed packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "c2pa-python is not installed" in done.stdout, done.stderr
    assert "-m pip install 'c2pa-python>=" in done.stdout.replace('"', "'")


# --- when signing fails or is cancelled ------------------------------------------------------------------------------


def test_a_failure_at_the_end_keeps_the_film_and_says_that_it_is_unsigned(source, tmp_path, issued):
    good, calls = signing(issued.files, source), []

    def once(film: Path, target: Path) -> None:
        calls.append(film)
        if len(calls) > 1:  # after the trial
            raise OutputError("There is no room for the signed copy.")
        good(film, target)

    path = tmp_path / "film.mp4"
    with pytest.raises(OutputError, match="is written, whole, but it isn't signed: There is no room") as caught:
        write(source, path, sign=once)
    assert f"sign {path}" in caught.value.worded(WORDS)
    assert decoded(path) == decoded(write(source, tmp_path / "plain.mp4").path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["film.mp4", "plain.mp4"]


def test_a_target_that_fills_up_is_an_error_of_the_disk(source, issued, tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    plain = write(source, tmp_path / "plain.mp4").path
    (tmp_path / "signed.mp4").symlink_to(full)
    with pytest.raises(OutputError, match="No space left"):
        signing(issued.files, source)(plain, tmp_path / "signed.mp4")


class Cancelled(BaseException):
    """As ComfyUI's interrupt is in some versions, and Ctrl-C."""


def test_cancelling_ends_the_signing_at_once_and_leaves_nothing(issued, tmp_path):
    film = make_clip(tmp_path / "film.mp4")
    with film.open("ab") as file:  # a box that players skip, long enough to be cancelled in
        file.write((300 << 20).to_bytes(4, "big") + b"mdat")
        file.truncate(file.tell() + (300 << 20) - 8)
    reports = []

    def cancel(done: int, total: int) -> None:
        reports.append((done, total))
        raise Cancelled

    sign = partial(signing(issued.files, None), on_progress=cancel)
    with pytest.raises(Cancelled):
        sign(film, tmp_path / "signed.mp4")
    ((done, total),) = reports
    assert done < total == film.stat().st_size
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("content-credentials")]


def test_a_cancelled_writer_leaves_no_file(source, issued, tmp_path):
    def cancel(film: Path, target: Path) -> None:
        signing(issued.files, source)(film, target)
        raise Cancelled

    clip = probe(source)
    writer = FrameWriter(tmp_path / "film.mp4", clip, options=WriterOptions(preset="ultrafast"), pts=clip.pts)
    writer.sign = cancel
    with FrameReader(clip) as frames:
        pictures = [frame.copy() for frame in frames]

    def job() -> None:
        with writer:
            for picture in pictures:
                writer.write(picture)

    with pytest.raises(Cancelled):
        job()
    assert not list(tmp_path.iterdir())


# --- the network -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A server on the loopback that counts what is asked of it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/manifest.c2pa", asked
        serving.shutdown()
        thread.join()


def test_the_address_in_a_source_is_never_asked(source, issued, tmp_path, server):
    address, asked = server
    pointing = tmp_path / "pointing.mp4"  # its manifest lies elsewhere
    files = issued.files
    info = c2pa.C2paSignerInfo("es256", files.certificate.read_bytes(), files.key.read_bytes(), None)
    with c2pa.Builder({"claim_generator_info": [AGENT]}) as builder, c2pa.Signer.from_info(info) as signer:
        builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.DIGITAL_CAPTURE)
        builder.set_no_embed()
        builder.set_remote_url(address)
        builder.sign_file(str(source), str(pointing), signer)
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader(str(pointing))
    assert asked == ["/manifest.c2pa"], "left to itself, the library asks"
    asked.clear()
    film = write(source, tmp_path / "film.mp4", sign=signing(files, pointing)).path
    assert asked == []
    assert manifest(film)["ingredients"][0]["title"] == "pointing.mp4"


# --- films that are written already ----------------------------------------------------------------------------------


def test_a_finished_film_is_signed_in_its_place(source, issued, tmp_path, capsys):
    film = write(source, tmp_path / "film.mov", Codec.PRORES).path
    plain = shutil.copy(film, tmp_path / "plain.mov")
    code = main(["sign", str(film), *signing_arguments(issued.files), "--source", str(source), "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert json.loads(printed.out) == {"signed": str(film), "signer": SIGNER, "credits": NANO.text}
    assert checked(film, issued.authority)["validation_state"] == "Trusted"
    assert manifest(film)["title"] == "film.mov"
    assert manifest(film)["ingredients"][0]["title"] == "scene.mp4"
    assert decoded(film) == decoded(Path(plain))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["film.mov", "plain.mov"]


def test_what_cannot_be_signed_stays_as_it_is(source, issued, tmp_path):
    signed = write(source, tmp_path / "signed.mp4", sign=signing(issued.files, source)).path
    lossless = write(source, tmp_path / "lossless.mkv", Codec.FFV1).path
    foreign = Path(shutil.copy(source, tmp_path / "foreign.mp4"))
    (tmp_path / "text.mp4").write_text("no film")
    good = write(source, tmp_path / "good.mp4").path
    cases = {
        signed: "has Content Credentials already",
        lossless: "not into .mkv",
        foreign: "doesn't say that LatentSync Dub generated its lips",
        tmp_path / "text.mp4": "can't be read as a video",
        tmp_path / "none.mp4": "There is no file",
    }
    there = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, reason in cases.items():
        with pytest.raises(LatentSyncError, match=reason):
            sign_film(path, issued.files)
    with pytest.raises(OptionError, match="There is no file"):
        sign_film(good, issued.files, source=tmp_path / "gone.mp4")
    with pytest.raises(OptionError, match="not valid at time of signing"):
        sign_film(good, issue(tmp_path.parent / f"{tmp_path.name}-expired", days=-1).files)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == there


def test_only_mp4_and_mov_are_signed():
    check_signable(".MP4")
    check_signable(".mov")
    with pytest.raises(OptionError, match="a file without a suffix"):
        check_signable("")
