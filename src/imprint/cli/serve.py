"""``imprint serve``: the authority for stations and people on other machines."""

import asyncio
import signal
import sys
from typing import Annotated

import typer

from imprint.assemble import SERVING, Platform, open_platform
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile, read_passphrase
from imprint.cli.workspace_access import own_workspace
from imprint.formats.x509 import certificate_pem
from imprint.service.listener import addresses, bind, server_tls
from imprint.service.log import log_to
from imprint.service.serve import Port, Ports
from imprint.service.serve import serve as serve_platform
from imprint.storage.files import write_file

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    ctx: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where stations and people ask, with their certificates")
    ] = "127.0.0.1:8443",
    enrol: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where those who were invited get their certificates")
    ] = "127.0.0.1:8444",
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A name or address of this machine, as others call it; repeat for more"),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Serve the workspace until Ctrl-C or SIGTERM; requests that are under way are finished.

    Only accounts come in: 'imprint account invite' makes an invitation, 'imprint station enrol' and
    'imprint account enrol' use it. The log is on
    stderr, one JSON object a line. Other commands may work in the same workspace at the same time.

    Example: imprint serve --listen 0.0.0.0:8443 --enrol 0.0.0.0:8444 --name authority.example
    """
    hosts = name or ["localhost", "127.0.0.1"]
    sockets = [bind(listen), bind(enrol)]
    secret: list[bytes] = []

    def passphrase() -> bytes:
        secret.append(read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd).reveal())
        return secret[0]

    log_to(sys.stderr)
    with open_platform(own_workspace(ctx), passphrase, keys=SERVING) as platform:
        _write_certificate(platform, hosts)
        workspace = platform.reader.workspace
        certificate, key = workspace.service_certificate, workspace.folder / "keys" / "service.pem"
        clients = workspace.access_ca_certificate
        main_address, enrolment_address = addresses(sockets)
        ports = Ports(
            url=f"https://{hosts[0]}:{main_address.rpartition(':')[2]}",
            main=Port(bound=sockets[0], tls=server_tls(certificate, key, lambda: secret[0], clients=clients)),
            enrolment=Port(bound=sockets[1], tls=server_tls(certificate, key, lambda: secret[0], clients=None)),
        )
        secret.clear()

        def ready() -> None:
            enrolment = f"https://{hosts[0]}:{enrolment_address.rpartition(':')[2]}"
            show({"url": ports.url, "enrol": enrolment, "listening": main_address}, as_json=as_json)
            sys.stdout.flush()
            if not as_json:
                note("Next: imprint account invite NAME --role station; stop with Ctrl-C")

        serve_platform(platform, ports, ready=ready, stop=_on_signals)


def _on_signals(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)


def _write_certificate(platform: Platform, hosts: list[str]) -> None:
    """The service's certificate for these names, with its CA; made anew at each start."""
    chain = (platform.service_certificate(hosts), platform.reader.access_ca())
    write_file(platform.reader.workspace.service_certificate, b"".join(map(certificate_pem, chain)))
