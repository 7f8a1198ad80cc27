"""A result as it lies in an opening: small fields as they are, certificates and records by hash.

Folding keeps large bytes out of the ledger; unfolding gives back the very same result, so that a request that is
repeated gets the same bytes.
"""

from dataclasses import replace

from imprint.authority.decisions.transaction import Reading
from imprint.encoding import sha256
from imprint.protocol.answers import Certified, Completed, Result
from imprint.protocol.codec import decode_result, encode_result


def fold_result(result: Result) -> str:
    """The result's JSON with the bytes of a certificate, chain or record replaced by their SHA-256."""
    if isinstance(result, Certified):
        result = replace(
            result, certificate=sha256(result.certificate), chain=tuple(sha256(item) for item in result.chain)
        )
    elif isinstance(result, Completed):
        result = replace(result, record=sha256(result.record))
    return encode_result(result).decode()


def unfold_result(folded: str, store: Reading) -> Result:
    """The inverse of :func:`fold_result`; bytes come from the store."""
    result = decode_result(folded.encode())
    if isinstance(result, Certified):
        return replace(
            result,
            certificate=store.blob(result.certificate.hex()),
            chain=tuple(store.blob(item.hex()) for item in result.chain),
        )
    if isinstance(result, Completed):
        return replace(result, record=store.blob(result.record.hex()))
    return result
