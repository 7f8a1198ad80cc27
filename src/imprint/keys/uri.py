"""Where a key is, as a URI: the scheme chooses the backend. Secrets never stand in a URI; they come from a callable."""

from collections.abc import Callable
from typing import Final

from imprint.errors import KeyStoreError
from imprint.keys.file import open_key_file
from imprint.keys.signer import Signer

# Schemes of hardware key stores, and the extra that each will come with.
_EXTRAS: Final = {"pkcs11": "imprint[pkcs11]", "tpm": "imprint[tpm]"}


def open_signer(uri: str, *, read: Callable[[str], bytes], secret: Callable[[str], bytes]) -> Signer:
    """The signer that ``uri`` names: ``file:PATH``, say ``file:keys/ledger.pem``.

    ``read`` gives the bytes at a path, ``secret`` the passphrase of the key at that path; it is asked only once the
    file was read. Raises :class:`KeyStoreError` for a URI that names no key store of ours, and what ``read``,
    ``secret`` and :func:`imprint.keys.file.open_key_file` raise.
    """
    scheme, colon, path = uri.partition(":")
    if scheme == "file" and path and not path.startswith("//"):
        pem = read(path)
        return open_key_file(pem, secret(path), subject=path)
    if colon and scheme in _EXTRAS:
        raise KeyStoreError(
            f"keys in a {scheme} key store need the extra {_EXTRAS[scheme]}, which this version does not have yet",
            subject=scheme + ":",
            next_step="Use a key file: file:PATH",
        )
    raise KeyStoreError(
        "not a key that can be opened",
        subject=uri,
        next_step=f"Write file:PATH; {' and '.join(f'{name}:' for name in _EXTRAS)} need {', '.join(_EXTRAS.values())}",
    )
