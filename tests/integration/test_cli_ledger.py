"""``imprint ledger``: it passes, names what was changed, and gives proofs that stand alone."""

import hashlib
import shutil
from base64 import b64decode
from pathlib import Path

import pytest

from command_line import CommandLine

SIZE = 15


def test_a_whole_ledger(imprint: CommandLine) -> None:
    found = imprint("ledger", "verify", "--json").result
    assert (found["whole"], found["committed"], found["integrated"]) == (True, SIZE, SIZE)


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ("UPDATE units SET state = 'permitted' WHERE serial = 'SN-0003'", "units row hardware_id=0000000000000003"),
        ("UPDATE units SET contested = 1 WHERE serial = 'SN-0001'", "units row hardware_id=0000000000000001"),
        ("UPDATE lots SET granted = 5", "lots row lot=lot-1"),
        ("DELETE FROM certificates WHERE hardware_id = '0000000000000002'", "certificates row number="),
        ("DELETE FROM entries WHERE seq = 7", "entries row 7"),
        ("DELETE FROM entries WHERE seq = 14", "entries row 14"),
        ("UPDATE entries SET opening = replace(opening, 'lamp', 'lump') WHERE seq = 0", "entries row 0"),
        ("UPDATE blobs SET data = data || x'00' WHERE rowid = 1", "blobs row "),
    ],
)
def test_a_changed_row_is_named(imprint: CommandLine, change: str, subject: str) -> None:
    imprint.sql(change)
    error = imprint("ledger", "verify", "--json", code=10).error
    assert error["subject"].startswith(subject), error
    assert error["next_step"]


def test_a_changed_file_is_named(imprint: CommandLine) -> None:
    tile = next((imprint.workspace / "ledger/tile/0").rglob("*.p/*"))
    tile.write_bytes(bytes((tile.read_bytes()[0] ^ 1,)) + tile.read_bytes()[1:])
    assert imprint("ledger", "verify", "--json", code=10).error["kind"] == "LedgerError"


def test_yesterdays_database_decides_nothing(imprint: CommandLine, tmp_path: Path) -> None:
    database = imprint.workspace / "imprint.db"
    yesterday = database.read_bytes()
    imprint.decide("unit", "clear", "SN-0003", "--reason", "found it")
    for beside in imprint.workspace.glob("imprint.db*"):
        beside.unlink()
    database.write_bytes(yesterday)
    for command in (("ledger", "checkpoint"), ("unit", "scrap", "SN-0003", "--reason", "broken")):
        refused = imprint.decide(*command, "--json", code=10).error
        assert "an older copy" in refused["what"]
        assert refused["next_step"].startswith("Nothing was issued")
    assert imprint("ledger", "verify", "--json", code=10).error["subject"] == f"entries row {SIZE}"


def test_entries_are_listed_in_pieces(imprint: CommandLine) -> None:
    first = imprint("ledger", "list", "--count", 4)
    assert "Next: imprint ledger list --from 4" in first.err
    rows = imprint("ledger", "list", "--from", 12, "--json").result["entries"]
    assert [row["index"] for row in rows] == [12, 13, 14]
    assert imprint("ledger", "list", "--from", 99, "--json").result == {"entries": [], "committed": SIZE}


def test_what_the_list_shows_is_public(imprint: CommandLine) -> None:
    said = imprint("ledger", "list", "--json").out
    assert "unit.completed" in said
    assert not any(word in said for word in ("SN-000", "0000000000000001", "02:00:5e"))
    opened = imprint("ledger", "show", 4, "--json").result
    assert opened["private"]["serial"] == "SN-0001"


def test_an_entry_that_there_is_not(imprint: CommandLine) -> None:
    for command in ("show", "prove"):
        refused = imprint("ledger", command, SIZE, "--json", code=3).error
        assert (refused["subject"], refused["what"]) == (
            f"entry {SIZE}",
            f"the ledger has {SIZE} entries, the first is 0",
        )
        imprint("ledger", command, "--", -1, code=2)


def test_a_proof_can_be_checked_by_hand(imprint: CommandLine) -> None:
    text = imprint("ledger", "prove", 5).out
    head, _, note = text.partition("\n\n")
    _, extra, index, *path = head.split("\n")
    assert index == "index 5"
    node = hashlib.sha256(b"\x00" + b64decode(extra.removeprefix("extra "))).digest()
    at, last = 5, SIZE - 1
    for sibling in map(b64decode, path):  # RFC 9162 section 2.1.3.2
        if at % 2 or at == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while not at % 2 and at:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    _, size, root, *_ = note.split("\n")
    assert (int(size), b64decode(root)) == (SIZE, node)


def test_a_proof_needs_no_workspace(imprint: CommandLine, tmp_path: Path) -> None:
    imprint("ledger", "prove", 14, "--out", "entry.tlog-proof")
    vkey = shutil.copy(imprint.workspace / "ledger/vkey", tmp_path / "vkey")
    shutil.rmtree(imprint.workspace)
    check = ("ledger", "check-proof", "entry.tlog-proof", "--vkey", vkey)
    found = imprint(*check, "--json").result
    assert (found["index"], found["checkpoint"], found["entry"]["type"]) == (14, SIZE, "unit.quarantined")
    proof = Path("entry.tlog-proof").read_bytes()
    for at in range(len(proof)):
        Path("entry.tlog-proof").write_bytes(proof[:at] + bytes((proof[at] ^ 1,)) + proof[at + 1 :])
        assert imprint.attempt(*check).code in (3, 10), at


def test_another_ledgers_key_checks_nothing(imprint: CommandLine) -> None:
    imprint("ledger", "prove", 3, "--out", "entry.tlog-proof")
    imprint.decide("init", "other", "--root-passphrase-file", imprint.passphrase_file)
    refused = imprint("ledger", "check-proof", "entry.tlog-proof", "--vkey", "other/ledger/vkey", "--json", code=10)
    assert refused.error["what"] == "no signature by a known key"


def test_before_the_first_entry(imprint: CommandLine) -> None:
    imprint.decide("init", "fresh", "--root-passphrase-file", imprint.passphrase_file)
    fresh = ("-C", "fresh", "ledger")
    assert imprint(*fresh, "verify", "--json").result["committed"] == 0
    assert imprint(*fresh, "prove", 0, "--json", code=3).error["subject"] == "entry 0"
    assert imprint.decide(*fresh, "checkpoint", "--json").result["size"] == 0
    assert imprint(*fresh, "verify", "--json").result["integrated"] == 0


def test_a_wrong_passphrase_signs_nothing(imprint: CommandLine) -> None:
    imprint.passphrase_file.write_text("not the passphrase at all")
    before = (imprint.workspace / "ledger/checkpoint").read_bytes()
    imprint.decide("ledger", "checkpoint", code=7)
    assert (imprint.workspace / "ledger/checkpoint").read_bytes() == before
