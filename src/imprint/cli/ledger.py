"""``imprint ledger``: the log of all that was decided."""

from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.authority.ledger.envelope import OpenedEntry, open_entry
from imprint.authority.production.export import prove as prove_entry
from imprint.cli.output import Json, note, note_replayed, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.reconcile import reconcile
from imprint.cli.workspace_access import deciding, reading, signed_head
from imprint.encoding import canonical, parse_json_object
from imprint.errors import FormatError, InputError, LedgerError
from imprint.formats.note import parse_vkey
from imprint.formats.tlog_proof import parse_proof, verify_proof
from imprint.storage.files import read_file, write_file
from imprint.verify_ledger import verify_ledger

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command()(reconcile)

Index = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="The entry's place in the log, from 0")]


@app.command()
def verify(ctx: typer.Context, as_json: Json = False) -> None:
    """Replay every entry and compare: tables, blobs, tiles, checkpoints. Names the first row that differs.

    Needs no passphrase, and changes nothing.

    Example: imprint ledger verify
    """
    found = verify_ledger(reading(ctx), note_replayed)
    result = {"whole": True, "committed": found.committed, "integrated": found.integrated, "root": found.root.hex()}
    show(result, as_json=as_json)
    if found.committed > found.integrated and not as_json:
        note(f"{found.committed - found.integrated} entries are under no checkpoint yet")


@app.command()
def checkpoint(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Sign a checkpoint over all that is committed.

    Example: imprint ledger checkpoint
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        head = platform.checkpoint()
    show({"origin": head.origin, "size": head.size, "root": head.root.hex()}, as_json=as_json)


@app.command("list")
def list_(
    ctx: typer.Context,
    start: Annotated[int, typer.Option("--from", metavar="INDEX", min=0, help="The first entry to show")] = 0,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many")] = 50,
    as_json: Json = False,
) -> None:
    """Entries as the public may read them.

    Example: imprint ledger list --from 100 --count 20
    """
    with reading(ctx).store.reading() as store:
        rows = [_public(row) for row in store.entries(start, start + count)]
        committed = store.size()
    show({"entries": rows, "committed": committed}, as_json=as_json)
    if start + len(rows) < committed and not as_json:
        note(f"Next: imprint ledger list --from {start + len(rows)}")


@app.command("show")
def show_(ctx: typer.Context, index: Index, as_json: Json = False) -> None:
    """One entry with its opening: what an auditor sees.

    Example: imprint ledger show 12
    """
    with reading(ctx).store.reading() as store:
        row = next(store.entries(index, index + 1), None)
        if row is None:
            raise _no_entry(index, store.size())
    entry = _open(row)
    names = ("type", "time", "actor", "leaf", "public", "private")
    show({"index": index, **{name: getattr(entry, name) for name in names}}, as_json=as_json)


@app.command()
def prove(
    ctx: typer.Context,
    index: Index,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the proof here")] = None,
    as_json: Json = False,
) -> None:
    """A proof that an entry is under the last checkpoint, in the format tlog-proof (c2sp.org), for readers offline.

    Example: imprint ledger prove 12 --out entry-12.tlog-proof
    """
    reader = reading(ctx)
    head = signed_head(reader)
    with reader.store.reading() as store:
        if index >= store.size():
            raise _no_entry(index, store.size())
        proof = prove_entry(store, reader.tree, index, head).encode()
    if out is not None:
        write_file(out, proof)
    if out is None and not as_json:
        typer.echo(proof.decode(), nl=False)
    else:
        show({"index": index, "checkpoint": head.size, "proof": str(out or proof.decode())}, as_json=as_json)


@app.command("check-proof")
def check_proof(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A tlog-proof with the entry in it")],
    vkey: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ledger's vkey; needs no workspace. Without it: this one's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a proof: the entry in it is in the ledger, under a checkpoint that the ledger signed.

    Example: imprint ledger check-proof entry-12.tlog-proof --vkey ledger/vkey
    """
    key = reading(ctx).ledger_key if vkey is None else parse_vkey(read_file(vkey).decode(errors="replace").strip())
    proof = parse_proof(read_file(file))
    if proof.extra is None:
        raise FormatError("the proof does not carry the entry", subject=str(file))
    head = verify_proof(proof, proof.extra, [key], origin=key.name)
    entry = parse_json_object(proof.extra, subject="entry")
    show({"index": proof.index, "checkpoint": head.size, "origin": head.origin, "entry": entry}, as_json=as_json)


def _public(row: tuple[int, bytes, bytes]) -> dict[str, Any]:
    entry = _open(row)
    body = canonical(entry.public).decode() if entry.public else ""
    return {"index": row[0], "time": entry.time, "type": entry.type, "actor": entry.actor, "body": body}


def _open(row: tuple[int, bytes, bytes]) -> OpenedEntry:
    index, data, opening = row
    try:
        return open_entry(data, opening, subject=f"entry {index}")
    except FormatError as problem:
        raise LedgerError(problem.what, subject=problem.subject, next_step="Run 'imprint ledger verify'") from None


def _no_entry(index: int, size: int) -> InputError:
    return InputError(f"the ledger has {size} entries, the first is 0", subject=f"entry {index}")
