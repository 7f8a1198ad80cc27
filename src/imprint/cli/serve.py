"""``imprint serve``: the authority for stations and people on other machines."""

import os
import socket
import sys
from typing import Annotated, Final

import typer

from imprint.assemble import SERVING, Platform, open_platform
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile, read_passphrase
from imprint.cli.workspace_access import own_workspace
from imprint.formats.x509 import certificate_pem
from imprint.keys.file import decrypt_key_file
from imprint.reader import open_reader
from imprint.service.front import Front
from imprint.service.listener import addresses, bind
from imprint.service.log import log_to
from imprint.service.serve import forked, hide_memory
from imprint.service.serve import serve as serve_platform
from imprint.storage.files import read_file, write_file

app = typer.Typer(add_completion=False)

_KEY_LIMIT: Final = 1 << 16


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
    folder = own_workspace(ctx)
    bound = (bind(listen), bind(enrol))
    main_address, enrolment_address = addresses(bound)
    url, enrol_url = (f"https://{hosts[0]}:{each.rpartition(':')[2]}" for each in (main_address, enrolment_address))

    def ready() -> None:
        show({"url": url, "enrol": enrol_url, "listening": main_address}, as_json=as_json)
        if not as_json:
            note("Next: imprint account invite NAME --role station; stop with Ctrl-C")
        sys.stdout.flush()

    log_to(sys.stderr)
    secret: list[bytes] = []

    def passphrase() -> bytes:
        secret.append(read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd).reveal())
        return secret[0]

    def listening(key: bytes, link: socket.socket) -> None:
        if passphrase_fd is not None:
            os.close(passphrase_fd)
        Front(reader=open_reader(folder), url=url, key=key, bound=bound).run(link, ready=ready)

    with forked(listening) as child:
        for each in bound:
            each.close()
        hide_memory()
        with open_platform(folder, passphrase, keys=SERVING) as platform:
            _write_certificate(platform, hosts)
            serve_platform(platform, child, _tls_key(platform, secret.pop()))


def _tls_key(platform: Platform, passphrase: bytes) -> bytes:
    path = platform.reader.workspace.folder / "keys" / "service.pem"
    return decrypt_key_file(read_file(path, limit=_KEY_LIMIT), passphrase, subject=str(path))


def _write_certificate(platform: Platform, hosts: list[str]) -> None:
    """The service's certificate for these names, with its CA; made anew at each start."""
    chain = (platform.service_certificate(hosts), platform.reader.access_ca())
    write_file(platform.reader.workspace.service_certificate, b"".join(map(certificate_pem, chain)))
