"""Enrolling with an authority: a person's or a station's folder, with its TLS key and the certificate for it.

::

    enrolled.toml     the authority's address, the account's name and role; no secrets
    key.pem           the TLS key, encrypted           cert.pem   its certificate
    access-ca.pem     the only CA that is trusted to be the authority
    station/          the journals of the station that runs here
    requests/         the IDs of a person's requests that were not answered yet
    crl.pem           the last revocation list that the person had signed

The folder is safe to enrol again from after a crash or a lost reply: the same key and the same request are used, so the
authority gives the same certificate.
"""

import json
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from imprint.encoding import from_b64, sha256_hex
from imprint.errors import AccessError, FormatError, InputError, RefusedError, Unreachable, WorkspaceError
from imprint.formats.x509 import certificate_pem
from imprint.keys.file import create_key_file, open_key_file
from imprint.keys.signer import Algorithm
from imprint.protocol.answers import Enrolled, Refused
from imprint.protocol.codec import decode_answer, encode_enrolment
from imprint.protocol.enrolment import Enrolment, Invitation
from imprint.storage.files import PRIVATE, make_folder, read_file, read_file_if_any, write_file

SETTINGS: Final = "enrolled.toml"
_ACCESS_CA: Final = "access-ca.pem"
_REQUEST: Final = "request.pem"
_PATIENCE_S: Final = 15.0
_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledFolder:
    """A folder that was enrolled."""

    folder: Path
    url: str
    name: str
    role: str

    def journal(self) -> Path:
        """The journal of this station."""
        return self.folder / "station" / f"{self.name}.journal"

    @property
    def requests(self) -> Path:
        """Where this person's open requests are."""
        return self.folder / "requests"

    @property
    def crl(self) -> Path:
        """The last revocation list that this person had signed, PEM."""
        return self.folder / "crl.pem"

    def access_ca(self) -> bytes:
        """The certificate of the authority's CA of accounts, DER."""
        pem = read_file(self.folder / _ACCESS_CA, limit=_LIMIT)
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def is_enrolled(folder: Path) -> bool:
    """Whether this folder names an authority elsewhere."""
    return (folder / SETTINGS).exists()


def open_enrolled(folder: Path) -> EnrolledFolder:
    """Read an enrolled folder's settings. Raises :class:`WorkspaceError`."""
    path = folder / SETTINGS
    try:
        found: dict[str, Any] = tomllib.loads(read_file(path, limit=_LIMIT).decode())["enrolled"]
        url, name, role = (str(found[field]) for field in ("url", "name", "role"))
    except (ValueError, KeyError, TypeError) as problem:
        raise WorkspaceError(
            "not the settings of an enrolled folder", subject=str(path), next_step="Enrol again"
        ) from problem
    return EnrolledFolder(folder=folder, url=url, name=name, role=role)


def enrol(folder: Path, url: str, invitation: Invitation, passphrase: bytes) -> EnrolledFolder:
    """Get a certificate for an invitation from the enrolment port at ``url``, and make the folder.

    Raises :class:`AccessError` when the authority is not the one of the invitation, or the invitation is not open;
    :class:`Unreachable` when there is no answer: call again with the same folder.
    """
    if is_enrolled(folder):
        raise WorkspaceError("this folder is enrolled already", subject=str(folder), next_step="Choose a new one")
    make_folder(folder)
    csr = _request(folder, invitation.name, passphrase)
    access_ca = _access_ca(url, invitation)
    write_file(folder / _ACCESS_CA, access_ca.encode())
    with _client(ssl.create_default_context(cadata=access_ca), url) as client:
        service = str(_asked(client, "GET", "/v1/authority")["url"])
        body = encode_enrolment(Enrolment(name=invitation.name, code=invitation.code, csr=csr))
        result = decode_answer(_sent(client, "POST", "/v1/enrol", body)).result
    if isinstance(result, Refused):
        raise RefusedError(result.message, code=result.code, next_step=result.next_step)
    if not isinstance(result, Enrolled):
        raise FormatError(f"the answer is about another thing: {result.kind}", subject=url)
    write_file(folder / "cert.pem", certificate_pem(result.certificate))
    text = f'[enrolled]\nurl = "{_plain(service)}"\nname = "{_plain(result.name)}"\nrole = "{_plain(result.role)}"\n'
    if result.role == "station":
        make_folder(folder / "station")
    write_file(folder / SETTINGS, text.encode())
    return open_enrolled(folder)


def _plain(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        raise FormatError("the authority says something that is no name or address", subject=repr(text[:80]))
    return text


def _request(folder: Path, name: str, passphrase: bytes) -> bytes:
    """The PKCS#10 request of an earlier try, else a new key and its request."""
    known = read_file_if_any(folder / _REQUEST, limit=_LIMIT)
    if known is not None:
        # The passphrase must be the one that will open the key later.
        open_key_file(read_file(folder / "key.pem", limit=_LIMIT), passphrase, subject=str(folder / "key.pem"))
        return x509.load_pem_x509_csr(known).public_bytes(Encoding.DER)
    pem = create_key_file(Algorithm.P256, passphrase)
    write_file(folder / "key.pem", pem, mode=PRIVATE)
    key = load_pem_private_key(pem, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AssertionError("a new key is of the kind that was asked for")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    write_file(folder / _REQUEST, csr.public_bytes(Encoding.PEM))
    return csr.public_bytes(Encoding.DER)


def _access_ca(url: str, invitation: Invitation) -> str:
    """The authority's access CA, PEM: asked of whoever answers, believed because the invitation names its hash."""
    stranger = ssl.create_default_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with _client(stranger, url) as client:
        der = from_b64(str(_asked(client, "GET", "/v1/authority")["access_ca"]), subject=url)
    if sha256_hex(der) != invitation.access_ca:
        raise AccessError(
            "whoever answers there is not the authority that made this invitation",
            subject=url,
            next_step="Check the address. If it is right, somebody is in between: tell the owner",
        )
    return certificate_pem(der).decode()


def _client(tls: ssl.SSLContext, url: str) -> httpx.Client:
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        return httpx.Client(base_url=url, verify=tls, timeout=_PATIENCE_S, trust_env=False)
    except httpx.InvalidURL as problem:
        raise InputError(f"not a URL: {problem}", subject=url, next_step="Write it like https://HOST:8444") from None


def _asked(client: httpx.Client, method: str, path: str) -> dict[str, Any]:
    try:
        found = json.loads(_sent(client, method, path))
        if not isinstance(found, dict) or not {"url", "access_ca"} <= found.keys():
            raise ValueError
    except ValueError:
        raise FormatError("whoever answers there is no Imprint authority", subject=str(client.base_url)) from None
    return found


def _sent(client: httpx.Client, method: str, path: str, body: bytes | None = None) -> bytes:
    try:
        response = client.request(method, path, content=body, headers={"content-type": "application/json"})
    except (httpx.TransportError, httpx.UnsupportedProtocol) as problem:
        raise Unreachable(
            f"no answer: {problem}", subject=str(client.base_url), next_step="Check address and network, then try again"
        ) from problem
    if response.status_code == 200:
        return response.content
    if response.status_code == 403:
        raise AccessError(
            "no invitation with this code is open",
            next_step="Ask the owner for a new one: a code is good for one enrolment and some hours",
        )
    raise Unreachable(f"HTTP status {response.status_code}", subject=str(client.base_url), next_step="Try again later")
