"""The whole check of a workspace: entries, tables, tiles and checkpoints must tell one story."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imprint.assemble import entry_changes
from imprint.authority.ledger.edge import Edge
from imprint.authority.ledger.tree import Tree
from imprint.errors import LedgerError
from imprint.formats import merkle
from imprint.formats.checkpoint import Checkpoint
from imprint.formats.tiles import WIDTH
from imprint.reader import Reader
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
    outside = (  # first, since all of them grow, see below
        (reader.workspace.checkpoint_copy, reader.checkpoint_copy()),
        (reader.workspace.known_checkpoint, reader.known_checkpoint()),
    )
    found, leaves = _verify_inside(reader, progress)
    for path, checkpoint in outside:
        if checkpoint is None:
            continue
        if checkpoint.size > len(leaves):
            raise LedgerError(
                f"all that is here is whole, but it is an older copy: a checkpoint outside it covers {checkpoint.size} "
                f"(missing: {checkpoint.size - len(leaves)})",
                subject=f"entries row {len(leaves)}",
                next_step="Find the newer database",
            )
        _compare(leaves, reader.tree, checkpoint, str(path))
    return found


def verify_copy(reader: Reader, progress: Callable[[int], None] = lambda _: None) -> Verified:
    """As :func:`verify_ledger`, of the folder alone: whether a checkpoint elsewhere is newer is not asked."""
    return _verify_inside(reader, progress)[0]


def _verify_inside(reader: Reader, progress: Callable[[int], None]) -> tuple[Verified, Sequence[bytes]]:
    # In this order, since both grow: a line that runs meanwhile must not look like tampering.
    head = reader.tree.head()
    with reader.store.reading() as store:
        size = store.size()
    if head is None:
        raise LedgerError("the last checkpoint is missing", subject="ledger/checkpoint", next_step=_NEXT)
    if size < head.size:  # before the replay, which would name a row that lacks these entries
        raise LedgerError(
            f"the database ends here, but the checkpoint covers {head.size} entries",
            subject=f"entries row {size}",
            next_step=_NEXT,
        )
    leaves = replay(reader.workspace.database, entry_changes, progress).leaves
    _compare(leaves, reader.tree, head, "ledger/checkpoint")
    _compare_files(reader, head)
    return Verified(committed=len(leaves), integrated=head.size, root=head.root), leaves


_NEXT = "Restore the newest copy of database and ledger folder; keep these as evidence"


def _compare(leaves: Sequence[bytes], tree: Tree, checkpoint: Checkpoint, name: str) -> None:
    if merkle.root_hash(leaves[: checkpoint.size]) == checkpoint.root:
        return
    head = tree.head()
    for index in range(min(checkpoint.size, head.size if head else 0)):
        if tree.leaf_hash_at(index) != leaves[index]:
            raise LedgerError(
                "the entry is not the one that the checkpoint covers", subject=f"entries row {index}", next_step=_NEXT
            )
    raise LedgerError("the root is not that of the entries", subject=name, next_step=_NEXT)


def _compare_files(reader: Reader, head: Checkpoint) -> None:
    """Every tile and entry bundle under the head is what the entries give: proofs read only some of them."""
    with reader.store.reading() as store:
        for path, data in Edge().grow(data for _, data, _ in store.entries(0, head.size)):
            full, partial, width = path.partition(".p/")
            found = reader.read_ledger_file(path)
            if found is None and partial:  # grown full since the head was read, and dropped
                found = (reader.read_ledger_file(full) or b"")[: len(data)]
            if found != data:
                raise _wrong_file(path)
            for older in _partials(reader, full, int(width) if partial else WIDTH):
                if not data.startswith(reader.read_ledger_file(older) or b""):
                    raise _wrong_file(older)


def _partials(reader: Reader, full: str, width: int) -> list[str]:
    """What a tile was under earlier checkpoints, which clients may still hold. A wider one is from a line at work, or
    from a crash: no checkpoint covers it yet."""
    names = [path.name for path in (reader.workspace.ledger / f"{full}.p").glob("*") if path.name.isdigit()]
    return [f"{full}.p/{name}" for name in names if int(name) <= width]


def _wrong_file(path: str) -> LedgerError:
    return LedgerError(
        "the file is missing, or not what the entries give",
        subject=f"ledger/{path}",
        next_step="Restore it from another copy of the ledger",
    )
