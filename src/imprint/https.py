"""HTTPS with mutual TLS as every client of a service speaks it, with the files of an enrolled folder."""

import ssl
from pathlib import Path
from typing import Final

import httpx

from imprint.errors import (
    AccessError,
    FormatError,
    ImprintError,
    KeyStoreError,
    PassphraseError,
    RefusedError,
    Unreachable,
)

_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


def error_of(response: httpx.Response) -> ImprintError:
    """What a service's problem (RFC 9457) says, as the error that it was there."""
    what, next_step, code = _told(response)
    status = response.status_code
    if status in _AGAIN:
        return Unreachable(what, subject=str(response.url.host), next_step=next_step)
    if status in {401, 403}:
        return AccessError(what, subject="authority", next_step=next_step)
    if status == 404:
        return RefusedError(what, code=code, next_step=next_step)
    return FormatError(what, subject="authority", next_step=next_step)


def _told(response: httpx.Response) -> tuple[str, str, str]:
    """What a problem says; its words may be anybody's, so they are cut and made printable."""
    try:
        found = response.json()
        texts = [str(found[name])[:500] for name in ("title", "next_step", "code")]
    except (ValueError, KeyError, TypeError):
        texts = [f"HTTP status {response.status_code}", "", ""]
    what, next_step, code = ("".join(letter for letter in text if letter.isprintable()) for text in texts)
    return what, next_step, code


def client_tls(folder: Path, passphrase: bytes) -> ssl.SSLContext:
    """TLS 1.3 with the certificate and key in an enrolled folder, trusting its access CA alone.

    Raises :class:`PassphraseError` when the key does not open, :class:`KeyStoreError` when a file is not usable.
    """
    try:
        context = ssl.create_default_context(cafile=folder / "access-ca.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    except (ssl.SSLError, OSError) as problem:
        raise _unusable(folder) from problem
    try:
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem", password=passphrase)
    except ssl.SSLError as problem:
        if "KEY_VALUES_MISMATCH" in str(problem):
            raise _unusable(folder) from None
        raise PassphraseError("does not open with this passphrase", subject=str(folder / "key.pem")) from None
    except OSError as problem:
        raise _unusable(folder) from problem
    return context


def _unusable(folder: Path) -> KeyStoreError:
    return KeyStoreError(
        "its key and certificates do not belong together",
        subject=str(folder),
        next_step="Enrol again elsewhere",
    )
