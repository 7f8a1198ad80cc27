"""``imprint ledger``: the log of all that was decided."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from imprint.authority.ledger.envelope import open_entry
from imprint.authority.production.export import prove as prove_entry
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding, reading
from imprint.encoding import parse_json_object
from imprint.errors import InputError, LedgerError
from imprint.storage.files import write_file
from imprint.verify_ledger import verify_ledger

app = typer.Typer(add_completion=False, no_args_is_help=True)

Index = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="The entry's place in the log, from 0")]


@app.command()
def verify(ctx: typer.Context, as_json: Json = False) -> None:
    """Replay every entry and compare: tables, blobs, tiles, checkpoints. Names the first row that differs.

    Example: imprint ledger verify
    """

    def progress(done: int) -> None:
        if done and done % 20_000 == 0 and sys.stderr.isatty():
            note(f"{done} entries replayed")

    found = verify_ledger(reading(ctx), progress)
    result = {"whole": True, "committed": found.committed, "integrated": found.integrated, "root": found.root.hex()}
    show(result, as_json=as_json)


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
        rows = []
        for index, data, _ in store.entries(start, start + count):
            entry = parse_json_object(data, subject=f"entry {index}")
            rows.append({"index": index, **{name: entry[name] for name in ("time", "type", "actor")}})
        show({"entries": rows, "committed": store.size()}, as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, index: Index, as_json: Json = False) -> None:
    """One entry with its opening: what an auditor sees.

    Example: imprint ledger show 12
    """
    with reading(ctx).store.reading() as store:
        row = next(store.entries(index, index + 1), None)
        if row is None:
            raise InputError(f"there are {store.size()} entries", subject=f"entry {index}")
        _, data, opening = row
    entry = open_entry(data, opening, subject=f"entry {index}")
    names = ("type", "time", "actor", "leaf", "public", "private")
    show({"index": index, **{name: getattr(entry, name) for name in names}}, as_json=as_json)


@app.command()
def prove(
    ctx: typer.Context,
    index: Index,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the proof here")] = None,
) -> None:
    """A proof that an entry is under the last checkpoint, in the format tlog-proof (c2sp.org).

    Example: imprint ledger prove 12 --out entry-12.tlog-proof
    """
    reader = reading(ctx)
    head = reader.tree.head()
    if head is None:
        raise LedgerError("there is no checkpoint yet", next_step="Run 'imprint ledger checkpoint'")
    with reader.store.reading() as store:
        if index >= store.size():
            raise InputError(f"there are {store.size()} entries", subject=f"entry {index}")
        proof = prove_entry(store, reader.tree, index, head).encode()
    if out is None:
        typer.echo(proof.decode(), nl=False)
    else:
        write_file(out, proof)
