"""Making a workspace: settings, database, keys, certificates. It appears whole or not at all."""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from imprint.authority.issuance.access_ca import make_access_ca
from imprint.authority.issuance.issuer import make_device_ca, make_root
from imprint.authority.ledger.tree import Tree
from imprint.clock import Clock, system_clock
from imprint.errors import InputError, WorkspaceError
from imprint.formats.note import ed25519_key
from imprint.formats.x509 import certificate_number, certificate_pem
from imprint.keys.file import create_key_file, open_key_file
from imprint.keys.signer import Algorithm, Signer
from imprint.keys.verify import encode_public_pem
from imprint.storage.files import PRIVATE, make_folder, storage_errors, write_file
from imprint.storage.folder import new_folder, refuse_occupied
from imprint.storage.schema import create_database
from imprint.storage.tile_folder import TileFolder
from imprint.storage.workspace import KEY_NAMES, Workspace, load_workspace, settings_text

MOST_ORGANIZATION: Final = 64  # ub-organization-name, RFC 5280 appendix A.1

_ALGORITHMS: Final = {
    "device-ca": Algorithm.P256,
    "ledger": Algorithm.ED25519,
    "record": Algorithm.ED25519,
    "firmware": Algorithm.P256,
    "access-ca": Algorithm.P256,
    "service": Algorithm.P256,
}
_ROOT_KEY: Final = "root.pem"


def create(
    folder: Path,
    *,
    organization: str,
    passphrase: bytes,
    root_passphrase: bytes,
    root_out: Path | None = None,
    clock: Clock = system_clock,
) -> Workspace:
    """Make a workspace at ``folder``, which is absent or empty. It appears whole or not at all.

    The root CA's key goes to ``root_out`` (off-line, if it is on another medium), else into the workspace's ``root``.
    Raises :class:`InputError` for a name that no certificate can hold, :class:`WorkspaceError` and
    :class:`imprint.errors.StorageError`.
    """
    if not 0 < len(organization) <= MOST_ORGANIZATION or not organization.isprintable():
        raise InputError(f"an organization's name has 1 to {MOST_ORGANIZATION} printable characters")
    folder = folder.absolute()
    refuse_occupied(folder)
    if root_out is not None and (root_out / _ROOT_KEY).exists():
        raise WorkspaceError("there is a root CA here already", subject=str(root_out), next_step="Choose a new folder")
    with new_folder(folder) as building, storage_errors(folder, "the workspace cannot be made"):
        _build(building, organization, passphrase, root_passphrase, root_out, clock)
    return load_workspace(folder)


def _build(
    folder: Path, organization: str, passphrase: bytes, root_passphrase: bytes, root_out: Path | None, clock: Clock
) -> None:
    for name in ("keys", "certs", "ledger", "station"):
        make_folder(folder / name)
    folder.chmod(0o700)
    origin = f"imprint.invalid/{secrets.token_hex(8)}"
    write_file(folder / "imprint.toml", settings_text(organization=organization, origin=origin))
    signers = {}
    for name in KEY_NAMES:
        pem = create_key_file(_ALGORITHMS[name], passphrase)
        write_file(folder / "keys" / f"{name}.pem", pem, mode=PRIVATE)
        signers[name] = open_key_file(pem, passphrase, subject=name)
        write_file(folder / "keys" / f"{name}.pub.pem", encode_public_pem(signers[name].public_key))
    key = ed25519_key(origin, signers["ledger"].public_key[-32:])  # SPKI ends with the raw key, RFC 8410 section 4
    write_file(folder / "ledger" / "vkey", f"{key.encode()}\n".encode())
    # The checkpoint over nothing: from now on a workspace without one has lost it.
    Tree(TileFolder(folder / "ledger"), key=key, sign=signers["ledger"].sign).integrate(0, ())
    create_database(folder / "imprint.db")
    write_file(
        folder / "certs" / "access-ca.pem", certificate_pem(_access_ca(signers["access-ca"], organization, clock()))
    )
    # Last, since it may write outside the folder: nothing of ours is left there when something fails before.
    ca_key = signers["device-ca"].public_key
    _make_certificates(folder, organization, root_passphrase, ca_key, root_out or folder / "root", clock)


def _make_certificates(
    folder: Path, organization: str, root_passphrase: bytes, ca_key: bytes, root_folder: Path, clock: Clock
) -> None:
    root_pem = create_key_file(Algorithm.P256, root_passphrase)
    root_signer = open_key_file(root_pem, root_passphrase, subject="root CA")
    now = clock().replace(microsecond=0)
    root = make_root(root_signer, organization=organization, number=certificate_number(os.urandom(16)), not_before=now)
    ca = make_device_ca(
        root_signer,
        root,
        spki=ca_key,
        organization=organization,
        number=certificate_number(os.urandom(16)),
        not_before=now,
    )
    make_folder(root_folder)
    write_file(root_folder / _ROOT_KEY, root_pem, mode=PRIVATE)
    write_file(root_folder / "root-certificate.pem", certificate_pem(root))
    write_file(folder / "certs" / "root.pem", certificate_pem(root))
    write_file(folder / "certs" / "ca.pem", certificate_pem(ca))


def _access_ca(signer: Signer, organization: str, now: datetime) -> bytes:
    number = certificate_number(os.urandom(16))
    return make_access_ca(signer, organization=organization, number=number, not_before=now.replace(microsecond=0))
