"""The whole check of a workspace: entries, tables, tiles and checkpoints must tell one story."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imprint.assemble import Reader, entry_changes
from imprint.authority.ledger.edge import Edge
from imprint.authority.ledger.tree import Tree
from imprint.errors import LedgerError
from imprint.formats import merkle
from imprint.formats.checkpoint import Checkpoint
from imprint.storage.replay import replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found to be whole: ``integrated`` of the ``committed`` entries are under the signed ``root``."""

    committed: int
    integrated: int
    root: bytes


def verify_ledger(reader: Reader, progress: Callable[[int], None] = lambda _: None) -> Verified:
    """Check every entry, row, tile and checkpoint. Raises :class:`LedgerError` for the first that differs.

    ``progress`` gets the number of entries replayed, now and then.
    """
    head = reader.tree.head()
    with reader.store.reading() as store:
        size = store.size()
    if head is not None and size < head.size:  # before the replay, which would name a row that lacks these entries
        raise LedgerError(
            f"the database ends here, but the checkpoint covers {head.size} entries",
            subject=f"entries row {size}",
            next_step=_NEXT,
        )
    leaves = replay(reader.workspace.database, entry_changes, progress).leaves
    if head is None:
        if leaves:
            raise LedgerError(
                "there is no checkpoint over the entries",
                subject="ledger/checkpoint",
                next_step="Run 'imprint ledger checkpoint'; if there was one before, restore the ledger folder first",
            )
        return Verified(committed=0, integrated=0, root=merkle.root_hash([]))
    _compare(leaves, reader.tree, head, "ledger/checkpoint")
    _compare_files(reader, head)
    for outside in reader.outside_checkpoints():
        if outside.size > head.size:
            raise LedgerError(
                f"a checkpoint of size {outside.size} was kept, but the ledger's folder ends at {head.size}",
                subject=str(reader.workspace.checkpoint_copy),
                next_step=_NEXT,
            )
        _compare(leaves, reader.tree, outside, str(reader.workspace.checkpoint_copy))
    return Verified(committed=len(leaves), integrated=head.size, root=head.root)


_NEXT = "Restore the newest copy of database and ledger folder; keep these as evidence"


def _compare(leaves: Sequence[bytes], tree: Tree, checkpoint: Checkpoint, name: str) -> None:
    if merkle.root_hash(leaves[: checkpoint.size]) == checkpoint.root:
        return
    for index in range(checkpoint.size):
        if tree.leaf_hash_at(index) != leaves[index]:
            raise LedgerError(
                "the entry is not the one that the checkpoint covers", subject=f"entries row {index}", next_step=_NEXT
            )
    raise LedgerError("the root is not that of the entries", subject=name, next_step=_NEXT)


def _compare_files(reader: Reader, head: Checkpoint) -> None:
    """Every tile and entry bundle under the head is what the entries give: proofs read only some of them."""
    with reader.store.reading() as store:
        for path, data in Edge().grow(data for _, data, _ in store.entries(0, head.size)):
            if reader.read_ledger_file(path) != data:
                raise _wrong_file(path)
            older = reader.workspace.ledger / f"{path.partition('.p/')[0]}.p"
            for partial in older.glob("*"):  # what it was under earlier checkpoints, which clients may still hold
                name = str(partial.relative_to(reader.workspace.ledger))
                if not data.startswith(reader.read_ledger_file(name) or b""):
                    raise _wrong_file(name)


def _wrong_file(path: str) -> LedgerError:
    return LedgerError(
        "the file is missing, or not what the entries give",
        subject=f"ledger/{path}",
        next_step="Restore it from another copy of the ledger",
    )
