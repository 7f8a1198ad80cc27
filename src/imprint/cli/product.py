"""``imprint product``: the device types that you make."""

from pathlib import Path
from typing import Annotated

import typer

from imprint.authority.production.product import Product
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import asking, show_decided, viewing
from imprint.protocol.commands import AddProduct
from imprint.protocol.person_port import View
from imprint.storage.files import read_file

app = typer.Typer(add_completion=False, no_args_is_help=True)

MAX_FILE = 1 << 20

TEMPLATE = """\
# A product: one type of device. docs/formats/product.md explains each line.
product: my-product
description: What it is, for people

identity:                          # what the certificate of a unit says (IEEE 802.1AR)
  name: my-product-idevid
  key_algorithm: p256              # p256 or ed25519
  key_origin: device               # device: made in the unit; preprovisioned: came in a secure element
  organization: My Company Ltd
  hardware_type: 1.3.6.1.4.1.32473.1   # an OID under your own enterprise number; 32473 is for examples

serials: {made: "MP-", width: 6}   # MP-000001, MP-000002, …; or {scanned: "MP-[0-9]{6}"} for labels that you print

values:                            # one of each for every unit; each is given exactly once
  mac: {kind: eui48, first: "02:00:00:00:00:01", count: 10000}
# gain: {kind: list, values: ["0.9871", "1.0042"]}   # made elsewhere, one a unit; in quotes

# evidence:                        # the least grade for a claim; below it a unit is not complete
#   debug: station-observed        # attested, unit-signed, station-observed, declared or none
"""


@app.command()
def template() -> None:
    """Print a product file to start from.

    Example: imprint product template > product.yaml
    """
    typer.echo(TEMPLATE, nl=False)


@app.command()
def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A product file (YAML)")],
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Add a product. Its definition never changes after that.

    Example: imprint product add product.yaml
    """
    data = read_file(file, limit=MAX_FILE)
    product = Product.from_yaml(data, name=str(file))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        authority.command(AddProduct(file=data.decode()))
    show_decided(authority, {"product": product.name}, as_json=as_json)
    if not as_json:
        note(f"Next: imprint release add --product {product.name} --version 1.0.0 --security-counter 1 firmware.bin")


@app.command("list")
def list_(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """All products.

    Example: imprint product list
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.PRODUCTS), as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    product: Annotated[str, typer.Argument(metavar="NAME")],
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """One product: its profile, its least grades, and how much is left in its pools.

    Example: imprint product show my-product
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.PRODUCT, product=product), as_json=as_json)
