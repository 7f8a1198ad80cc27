"""``imprint lot``: production orders, from the grant to the signed sum."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.export import closed_lot, ledger_files, lot_files, trust_files
from imprint.authority.production.reconciliation import SUMMARY
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.reason import Reason, checked_reason
from imprint.cli.recipe import read_recipe
from imprint.cli.workspace_access import asking, reading, show_decided, signed_head, viewing
from imprint.errors import RefusedError
from imprint.formats.mcuboot import parse_version
from imprint.formats.profile import parse_profile
from imprint.protocol.commands import CloseLot, CreateLot, ExpireClaims, RefundUnits
from imprint.protocol.evidence import Grade
from imprint.protocol.person_port import PersonPort, View, Views
from imprint.protocol.refusals import Code
from imprint.reader import Reader
from imprint.station.recipe import Recipe, check_fits, parse_recipe
from imprint.storage.folder import write_folder

app = typer.Typer(add_completion=False, no_args_is_help=True)

Lot = Annotated[str, typer.Argument(metavar="LOT", help="The lot's name")]


@app.command()
def create(
    ctx: typer.Context,
    lot: Lot,
    product: Annotated[str, typer.Option(metavar="NAME", help="The product to make")],
    count: Annotated[int, typer.Option(metavar="N", help="How many units may be made: the grant")],
    release: Annotated[str, typer.Option(metavar="VERSION", help="The production release that the units ship with")],
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="A recipe that ships, or a file")] = "typical",
    diagnostic: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The diagnostic release, for recipes that load one")
    ] = None,
    refunds_at_most: Annotated[
        int, typer.Option(metavar="N", help="How many places may be refunded for scrapped units; pinned for good")
    ] = 0,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Grant a lot. It pins recipe, firmware and profile by their hashes.

    Example: imprint lot create 2026-11 --product thermostat --count 500 --release 1.0.0 --diagnostic 0.9.0
    """
    name, data = read_recipe(recipe)
    steps = parse_recipe(data, name=name)
    command = CreateLot(
        lot=lot,
        product=product,
        count=count,
        recipe=data.decode(),
        recipe_name=name,
        firmware=str(parse_version(release)),
        diagnostic=None if diagnostic is None else str(parse_version(diagnostic)),
        refunds_at_most=refunds_at_most,
    )
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        _refuse_misfit(authority, steps, command)
        authority.command(command)
        found = _sum(authority, lot)
    show_decided(authority, found, as_json=as_json)
    if not as_json:
        note(f"Next: imprint station run --lot {lot} --fixture PORT")


def _refuse_misfit(authority: Views, recipe: Recipe, command: CreateLot) -> None:
    """A lot pins its recipe for good. Whether the product exists is the authority's to say."""
    try:
        product = authority.read(View.PRODUCT, product=command.product)
    except RefusedError:
        return
    check_fits(
        recipe,
        name=command.recipe_name,
        key_origin=parse_profile(product["identity"]).key_origin,
        has_diagnostic=command.diagnostic is not None,
        least_grades={claim: Grade(grade) for claim, grade in product["least_grades"].items()},
    )


def _sum(authority: Views, lot: str) -> dict[str, Any]:
    found = authority.read(View.LOT, lot=lot)
    return {name: found[name] for name in SUMMARY}


@app.command("list")
def list_(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """All lots with their sums.

    Example: imprint lot list
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.LOTS), as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    lot: Lot,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """One lot: its sum, and what it pins.

    Example: imprint lot show 2026-11
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.LOT, lot=lot), as_json=as_json)


@app.command()
def report(
    ctx: typer.Context,
    lot: Lot,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """The sum of a lot, and every unit that is not simply shipped. Signed once the lot is closed.

    Example: imprint lot report 2026-11
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.REPORT, lot=lot), as_json=as_json)


@app.command()
def refund(
    ctx: typer.Context,
    lot: Lot,
    count: Annotated[int, typer.Option(metavar="N", help="How many places to give back")],
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Give places back for units that are scrapped, each once, up to the cap that the lot was created with.

    Example: imprint lot refund 2026-11 --count 2 --reason "two boards burnt in the oven; I have both"
    """
    command = RefundUnits(lot=lot, count=count, reason=checked_reason(reason))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        authority.command(command)
        found = _sum(authority, lot)
    show_decided(authority, found, as_json=as_json)


@app.command()
def close(
    ctx: typer.Context,
    lot: Lot,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Sign the sum of a lot. Every unit must be accounted for, under a checkpoint that covers it.

    Example: imprint lot close 2026-11
    """
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        close_lot(authority, lot)
        found = authority.read(View.REPORT, lot=lot)
    show(found, as_json=as_json)
    if not as_json:
        note(f"Next: imprint lot export {lot} DIR")


@app.command()
def export(
    ctx: typer.Context,
    lot: Lot,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder")],
    as_json: Json = False,
) -> None:
    """Write what the next party needs: identities, records, proofs, releases and the ledger.

    Example: imprint lot export 2026-11 ./lot-2026-11
    """
    count = export_lot(reading(ctx), lot, folder)
    show({"lot": lot, "export": str(folder.absolute()), "files": count}, as_json=as_json)
    if not as_json:
        note(f"Check it with: imprint record verify --export {folder}")


def close_lot(authority: PersonPort, lot: str) -> None:
    """Close the lot; when units are in work, let stale claims go first. Whoever may not close learns that, and nothing
    else is tried."""
    try:
        authority.command(CloseLot(lot=lot))
    except RefusedError as in_work:
        if in_work.code != Code.WRONG_STATE:
            raise
        try:
            authority.command(ExpireClaims(lot=lot))
        except RefusedError:
            raise in_work from None
        authority.command(CloseLot(lot=lot))


def export_lot(reader: Reader, lot: str, folder: Path) -> int:
    """Write a closed lot's export; the number of files."""
    with reader.store.reading() as store:
        return write_folder(folder, _export_files(reader, store, lot))


def _export_files(reader: Reader, store: Reading, lot: str) -> Iterator[tuple[str, bytes]]:
    row = closed_lot(store, lot)
    head = signed_head(reader)
    yield from trust_files(reader.chain(), reader.public_key("firmware"), reader.public_key("record"))
    yield from ledger_files(store, head, f"{reader.ledger_key.encode()}\n".encode())
    yield from lot_files(store, reader.tree, row, head)
