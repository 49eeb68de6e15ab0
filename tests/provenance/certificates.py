"""Makes certificates to sign films with: an authority of its own, and a signer that it vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from latentsync_core.provenance.signing_files import SigningFiles

PEM = serialization.Encoding.PEM
SIGNER = "Post House Ltd"
USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True)
class Issued:
    """A signer's files, and the authority to trust."""

    files: SigningFiles
    authority: str  # PEM


def issue(
    folder: Path,
    key: Any = None,
    *,
    days: int = 30,
    for_documents: bool = True,
    passphrase: bytes | None = None,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> Issued:
    """Writes chain.pem and key.pem to `folder`.

    Args:
        key: the signer's private key; by default a new one on P-256.
        days: from now until the certificate expires; it began 60 days ago.
        for_documents: whether it has an extended key usage that C2PA asks for.
        form: in which the key is written.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    authority_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test authority", "Test authority", authority_key, authority_key, 30, is_authority=True)
    signer = _certificate(SIGNER, "Test authority", key, authority_key, days, for_documents=for_documents)
    folder.mkdir(exist_ok=True)
    files = SigningFiles(folder / "chain.pem", folder / "key.pem")
    files.certificate.write_bytes(signer.public_bytes(PEM) + root.public_bytes(PEM))
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    files.key.write_bytes(key.private_bytes(PEM, form, locked))
    return Issued(files, root.public_bytes(PEM).decode())


def secret_lines(folder: Path) -> list[str]:
    """Every line of the private keys below a folder."""
    keys = [path.read_text().splitlines() for path in folder.rglob("key.pem")]
    return [line for lines in keys for line in lines if "-----" not in line and len(line) > 20]


def _certificate(
    subject: str,
    issuer: str,
    key: Any,
    issuer_key: Any,
    days: int,
    *,
    is_authority: bool = False,
    for_documents: bool = False,
) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    allowed = {"key_cert_sign", "crl_sign"} if is_authority else {"digital_signature"}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.KeyUsage(**{use: use in allowed for use in USES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if for_documents:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "Test"), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])
