"""``imprint release``: signed firmware that may ship."""

from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

import typer

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding, reading, viewing
from imprint.errors import RefusedError
from imprint.formats.firmware import parse_firmware, parse_region
from imprint.formats.mcuboot import parse_version
from imprint.keys.verify import encode_public_pem
from imprint.protocol.commands import AddRelease
from imprint.protocol.person_port import View
from imprint.protocol.refusals import Code
from imprint.storage.files import read_file, write_file

app = typer.Typer(add_completion=False, no_args_is_help=True)

MAX_FIRMWARE = 32 << 20

ProductName = Annotated[str, typer.Option("--product", metavar="NAME", help="The product that runs it")]
VersionText = Annotated[str, typer.Option("--version", metavar="VERSION", help="Like 1.2.3 or 1.2.3+45")]


@unique
class Role(StrEnum):
    """What an image is for (:data:`imprint.authority.releases.release.ROLES`)."""

    PRODUCTION = "production"
    DIAGNOSTIC = "diagnostic"


RoleOption = Annotated[Role, typer.Option("--role", help="What units ship with, or what tests them on the line")]


@app.command()
def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Raw binary or Intel HEX")],
    product: ProductName,
    version: VersionText,
    security_counter: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="A unit never goes back below it")
    ],
    role: RoleOption = Role.PRODUCTION,
    drop_region: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION", help="Leave these addresses out: uicr, or name=0x1000-0x2000; repeat for more"),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Sign firmware with the workspace's firmware key, as an MCUboot image, and add it.

    Example: imprint release add --product my-product --version 1.0.0 --security-counter 1 firmware.hex
    """
    full_version = parse_version(version)
    regions = [parse_region(text) for text in drop_region or []]
    firmware = parse_firmware(read_file(file, limit=MAX_FIRMWARE), drop=regions)
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        image = platform.seal(firmware.payload, version=str(full_version), security_counter=security_counter)
        platform.command(AddRelease(product=product, role=role.value, image=image))
    result = {
        "product": product,
        "role": role,
        "version": str(full_version),
        "payload_bytes": len(firmware.payload),
    }
    show({**result, "image_bytes": len(image), "dropped_bytes": firmware.dropped}, as_json=as_json)
    if not as_json and role is Role.PRODUCTION:
        note(f"Next: imprint lot create LOT --product {product} --count N --release {version} --diagnostic VERSION")
        note("The recipe 'typical' loads a diagnostic release first; add one with --role diagnostic")


@app.command("list")
def list_(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """All releases.

    Example: imprint release list
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.RELEASES), as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    product: ProductName,
    version: VersionText,
    role: RoleOption = Role.PRODUCTION,
    as_json: Json = False,
) -> None:
    """One release: its hashes and counter, and the lots that ship or load it.

    Example: imprint release show --product my-product --version 1.0.0
    """
    with reading(ctx).store.reading() as store:
        row = _find(store, product, version, role)
        image = store.blob(row["image"])
        lots = [lot["lot"] for lot in store.find("lots") if row["image"] in (lot["firmware"], lot["diagnostic"])]
    show({**row, "image_bytes": len(image), "lots": lots}, as_json=as_json)


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the signed image")],
    product: ProductName,
    version: VersionText,
    role: RoleOption = Role.PRODUCTION,
    as_json: Json = False,
) -> None:
    """Write a signed image, as a unit gets it.

    Example: imprint release export --product my-product --version 1.0.0 signed.bin
    """
    with reading(ctx).store.reading() as store:
        image = store.blob(_find(store, product, version, role)["image"])
    write_file(file, image)
    show({"file": str(file), "image_bytes": len(image)}, as_json=as_json)


@app.command()
def key(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the public key (PEM)")],
    as_json: Json = False,
) -> None:
    """Write the public key that verifies the images: for a boot loader's build, and for imgtool.

    Example: imprint release key firmware-key.pem
    """
    write_file(file, encode_public_pem(reading(ctx).public_key("firmware")))
    show({"file": str(file)}, as_json=as_json)


def _find(store: Reading, product: str, version: str, role: Role) -> Row:
    full_version = str(parse_version(version))
    row = store.get("releases", product=product, role=role.value, version=full_version)
    if row is None:
        raise RefusedError(
            f"{product} has no {role} release {full_version}",
            code=Code.UNKNOWN_RELEASE,
            next_step="See 'imprint release list'",
        )
    return row
