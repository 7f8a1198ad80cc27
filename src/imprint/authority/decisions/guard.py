"""No way back: a database that is older than a checkpoint kept outside it decides nothing (the design's rule 9)."""

from collections.abc import Iterable

from imprint.authority.decisions.transaction import Reading
from imprint.authority.ledger.tree import Tree
from imprint.errors import LedgerError
from imprint.formats.checkpoint import Checkpoint
from imprint.formats.merkle import leaf_hash, root_hash


def refuse_rollback(store: Reading, tree: Tree, outside: Iterable[Checkpoint]) -> None:
    """Raise :class:`LedgerError` when the database lacks an entry that a checkpoint covers, or holds another one.

    Quick: it compares sizes, the last covered entry and the tree's root. ``ledger verify`` compares every entry.
    """
    head = tree.head()
    if head is None:  # there is one from the day the workspace was made
        raise LedgerError("the last checkpoint is missing", subject="ledger/checkpoint", next_step=_NEXT)
    for checkpoint in (head, *outside):
        if checkpoint.size == 0:
            continue
        size = store.size()
        if size < checkpoint.size:
            raise LedgerError(
                f"an older copy: it has {size} entries, and a checkpoint outside it covers {checkpoint.size} "
                f"(missing: {checkpoint.size - size})",
                subject="database",
                next_step=_NEXT_OF_OLDER,
            )
        if head.size < checkpoint.size:
            _refuse_another_history(store, checkpoint)
            continue
        last = [data for _, data, _ in store.entries(checkpoint.size - 1, checkpoint.size)]
        if [leaf_hash(data) for data in last] != [tree.leaf_hash_at(checkpoint.size - 1)]:
            raise LedgerError(
                "the entry is not the one that the checkpoint covers",
                subject=f"entries row {checkpoint.size - 1}",
                next_step=_NEXT,
            )
        if tree.root_at(checkpoint.size) != checkpoint.root:
            raise LedgerError(
                f"the ledger's folder is not the one of the checkpoint of size {checkpoint.size}",
                subject="ledger",
                next_step=_NEXT,
            )


def _refuse_another_history(store: Reading, checkpoint: Checkpoint) -> None:
    """The ledger's folder ends before this checkpoint, as in a backup that was made while a line worked. The database
    is what must not be older, and the folder grows from it; so its entries must give the checkpoint's root."""
    leaves = [leaf_hash(data) for _, data, _ in store.entries(0, checkpoint.size)]
    if root_hash(leaves) != checkpoint.root:
        raise LedgerError(
            f"its entries are not those of a checkpoint of size {checkpoint.size} that was kept elsewhere",
            subject="database",
            next_step=_NEXT,
        )


_NEXT_OF_OLDER = (
    "Nothing was issued. Find the newer database, and put it back or restore its backup. If it is lost for good, say "
    "what was lost: 'imprint ledger reconcile'. Reading and verifying still work"
)
_NEXT = "Nothing was issued. Put the newest copy back, then run 'imprint ledger verify'"
