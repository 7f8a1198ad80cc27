"""Offline proofs, judged by the layout in c2sp.org/tlog-proof and the cases of its first implementation."""

from contextlib import suppress
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from imprint.encoding import b64
from imprint.errors import FormatError, InputError, LedgerError
from imprint.formats.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from imprint.formats.merkle import inclusion_proof, leaf_hash, root_hash
from imprint.formats.note import ed25519_key
from imprint.formats.tlog_proof import TlogProof, parse_proof, verify_proof

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
ENTRIES = [b"entry %d" % n for n in range(7)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def make_proof(index: int) -> TlogProof:
    head = sign_checkpoint(Checkpoint(origin=KEY.name, size=7, root=root_hash(LEAVES)), KEY, SECRET.sign)
    path = inclusion_proof(index, 7, lambda height, n: root_hash(LEAVES[n << height : (n + 1) << height]))
    return TlogProof(index=index, hashes=path, checkpoint=head.note, extra=ENTRIES[index])


def check(data: bytes) -> SignedCheckpoint:
    proof = parse_proof(data)
    return verify_proof(proof, proof.extra or b"", [KEY], origin=KEY.name)


@pytest.mark.parametrize("index", range(7))
def test_the_extra_line_is_the_entry(index: int) -> None:
    assert parse_proof(make_proof(index).encode()).extra == ENTRIES[index]
    head = check(make_proof(index).encode())
    assert (head.size, head.root) == (7, root_hash(LEAVES))


def test_layout() -> None:
    one, two = sha256(b"hash1").digest(), sha256(b"hash2").digest()
    assert TlogProof(index=5, hashes=(one, two), checkpoint=b"test checkpoint\n").encode() == (
        b"c2sp.org/tlog-proof@v1\nindex 5\n%b\n%b\n\ntest checkpoint\n" % (b64(one).encode(), b64(two).encode())
    )
    assert TlogProof(index=10, hashes=(one,), checkpoint=b"data\n", extra=b"extra information").encode() == (
        b"c2sp.org/tlog-proof@v1\nextra %b\nindex 10\n%b\n\ndata\n"
        % (b64(b"extra information").encode(), b64(one).encode())
    )
    assert TlogProof(index=0, hashes=(), checkpoint=b"checkpoint\n").encode() == (
        b"c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"
    )


@pytest.mark.parametrize("entry", [b"entry 4", b""])
def test_another_entry_is_refused(entry: bytes) -> None:
    with pytest.raises(LedgerError):
        verify_proof(make_proof(3), entry, [KEY], origin=KEY.name)


def test_a_flipped_bit_is_noticed() -> None:
    good = make_proof(3).encode()
    for position in range(len(good)):
        changed = bytearray(good)
        changed[position] ^= 1
        with pytest.raises((FormatError, LedgerError)):
            pytest.fail(f"byte {position}: {check(bytes(changed))}")


HEAD = b"c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"wrong-header\nindex 0\n\ncheckpoint\n",
        HEAD + b"extra !!notbase64!!\nindex 0\n\ncheckpoint\n",
        HEAD + b"\n\ncheckpoint\n",
        HEAD + b"index notanumber\n\ncheckpoint\n",
        HEAD + b"index -5\n\ncheckpoint\n",
        HEAD + b"index 05\n\ncheckpoint\n",
        HEAD + b"index 0\n!!notbase64!!\n\ncheckpoint\n",
        HEAD + b"index 0\n" + b64(bytes(64)).encode() + b"\n\ncheckpoint\n",
        HEAD + b"index 0\n" + (b64(bytes(32)) + "\n").encode() * 64 + b"\ncheckpoint\n",
        HEAD + b"index 0\ncheckpoint\n",
        HEAD + b"index 0\nextra AAAA\n\ncheckpoint\n",
        HEAD + b"index \xff\n\ncheckpoint\n",
    ],
)
def test_malformed_proofs(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_proof(data)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: HEAD + b"index 0\n" + data))
def test_any_bytes_give_a_proof_or_an_input_error(data: bytes) -> None:
    with suppress(InputError):
        assert parse_proof(data).encode() == data
