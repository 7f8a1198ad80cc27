"""``imprint virtual``: serve units that are made of software."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from imprint.cli.output import Json, show
from imprint.errors import InputError
from imprint.virtual.fault import Faults, parse_fault
from imprint.virtual.fleet import Order, open_units
from imprint.virtual.server import Served, only_server_of, serve

app = typer.Typer(add_completion=False)


@app.command()
def virtual(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where ports and units are")],
    count: Annotated[int, typer.Option(metavar="N", help="How many units")] = 1,
    boot_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Public key (PEM) that is in the fuses from the start")
    ] = None,
    preprovisioned: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Units with a vendor's keys and certificates; the vendor's root goes to DIR"),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N=KIND[,KIND]",
            help="What is wrong with unit N: self-test, clone=M, false-lock, hang or hang=K, drop-bytes or "
            "drop-bytes=N, power-loss",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve units that are made of software.

    Each unit N is a serial port DIR/N that speaks SMP and a serial port DIR/N.bench for the fixture's relay and debug
    probe. They keep their state in DIR/units. Serves until Ctrl-C or SIGTERM.

    Example: imprint virtual --dir ./bench --count 3
    """
    order = Order(
        folder=folder,
        count=count,
        faults=_faults(fault or []),
        boot_key=None if boot_key is None else _public_key(boot_key),
        vendor_folder=preprovisioned,
    )

    def announce(served: list[Served]) -> None:
        rows = [
            {
                "unit": unit.number,
                "port": str(unit.port),
                "bench": str(unit.bench),
                "hardware_id": unit.hardware_id.hex(),
            }
            for unit in served
        ]
        if as_json:
            show({"units": rows}, as_json=True)
        else:
            for row in rows:
                typer.echo(f"{row['port']}  bench {row['bench']}  hardware ID {row['hardware_id']}")
        typer.get_text_stream("stdout").flush()

    with only_server_of(folder):
        asyncio.run(serve(folder, open_units(order), announce))


def _faults(texts: list[str]) -> dict[int, Faults]:
    faults: dict[int, Faults] = {}
    for text in texts:
        number, wanted = parse_fault(text)
        if number in faults:
            raise InputError(f"unit {number} is named twice", subject="fault", next_step="Join its faults by commas")
        faults[number] = wanted
    return faults


def _public_key(path: Path) -> bytes:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as problem:
        raise InputError(problem.strerror or "not readable", subject=str(path)) from problem
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise InputError("not a public key in PEM", subject=str(path)) from problem
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
