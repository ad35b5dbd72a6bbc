"""Mutual TLS between the hosts of a job that share a secret.

Key and certificate are derived from the secret, the same on every host: each trusts that one
certificate alone, and shows it. Nothing has to be exchanged before the first connection.
"""

import base64
import hashlib
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import Security

from gaussian_processes.errors import UserError

# Shorter ones could be guessed from a certificate, which whoever connects is shown.
MIN_SECRET_LENGTH = 32
# A tenth of a second and 32 MB of memory for each guess: scrypt's `n`, `r` and `p`.
SCRYPT_COST = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 1 << 26}
# What stands before the seed of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
KEY_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
# The certificate is the same whenever it is made: hosts' clocks differ. It is its own authority.
VALIDITY = ("-startdate", "20000101000000Z", "-enddate", "20991231235959Z")
OPENSSL_CONFIGURATION = """\
[req]
distinguished_name = subject
[subject]
commonName = supplied
[ca]
default_ca = authority
[authority]
database = index.txt
serial = serial.txt
new_certs_dir = .
default_md = default
policy = subject
x509_extensions = extensions
[extensions]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
"""


def security(secret: str) -> Security:
    """Return Dask's TLS configuration of the hosts that share a secret.

    Raises
    ------
    UserError
        If the secret is shorter than `MIN_SECRET_LENGTH`, or the program `openssl` is missing.
    """
    if len(secret) < MIN_SECRET_LENGTH:
        raise UserError(
            f"CLUSTER_SECRET has {len(secret)} characters, and needs {MIN_SECRET_LENGTH}: set it to"
            " what `openssl rand -hex 32` prints"
        )
    key = _private_key(secret)
    certificate = _self_signed(key)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{f"tls_{role}_cert": certificate for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )


def _private_key(secret: str) -> str:
    """Ed25519 key of a secret, as PEM."""
    seed = hashlib.scrypt(
        secret.encode(), salt=b"gaussian-processes cluster", dklen=32, **SCRYPT_COST
    )
    text = base64.b64encode(KEY_PREFIX + seed).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"


def _self_signed(key: str) -> str:
    """Certificate of a key, as PEM: the same for the same key, since Ed25519 has no random part."""
    with TemporaryDirectory(prefix="tls-") as name:
        folder = Path(name)  # only this user can read it
        (folder / "openssl.cnf").write_text(OPENSSL_CONFIGURATION)
        (folder / "key.pem").write_text(key)
        (folder / "index.txt").write_text("")
        (folder / "serial.txt").write_text("01\n")
        request = ("req", "-new", "-key", "key.pem", "-subj", "/CN=gaussian-processes")
        _openssl(folder, *request, "-out", "request.pem")
        sign = ("ca", "-batch", "-notext", "-selfsign", "-keyfile", "key.pem", *VALIDITY)
        _openssl(folder, *sign, "-in", "request.pem", "-out", "certificate.pem")
        return (folder / "certificate.pem").read_text()


def _openssl(folder: Path, command: str, *arguments: str) -> None:
    """Run a command of OpenSSL's in a folder that has its configuration."""
    try:
        subprocess.run(  # noqa: S603  fixed words alone
            ["openssl", command, "-config", "openssl.cnf", *arguments],  # noqa: S607  the system's, on the path
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise UserError(
            "CLUSTER_SECRET is set, but there is no program openssl to make certificates with:"
            " install it, or leave out CLUSTER_SECRET"
        ) from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"openssl {command} failed: {error.stderr}") from error
