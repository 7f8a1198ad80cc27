"""What enrolling asks for, a station's and a person's alike."""

from pathlib import Path
from typing import Annotated

import typer

from imprint.cli.output import note, show
from imprint.cli.passphrase import read_passphrase
from imprint.enrol import EnrolledFolder, enrol
from imprint.protocol.enrolment import parse_invitation

Url = Annotated[str, typer.Argument(metavar="URL", help="The authority's enrolment port, like https://HOST:8444")]
NewFolder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="A new folder for the key and certificate")]
InvitationFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The invitation: the first line of this private file")
]


def enrol_folder(
    url: str,
    folder: Path,
    *,
    invitation_file: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Enrol, and show what came of it, and what an account of this role does first."""
    text = read_passphrase("invitation", file=invitation_file).reveal().decode(errors="replace").strip()
    invitation = parse_invitation(text)
    passphrase = read_passphrase(f"the key of {invitation.name}", file=passphrase_file, fd=passphrase_fd, new=True)
    enrolled = enrol(folder, url, invitation, passphrase.reveal())
    result = {"name": enrolled.name, "role": enrolled.role, "url": enrolled.url, "folder": str(folder.absolute())}
    show(result, as_json=as_json)
    if not as_json:
        note(_first_command(enrolled))


def _first_command(enrolled: EnrolledFolder) -> str:
    words = "station run --lot LOT --fixture PORT" if enrolled.role == "station" else "lot list"
    return f"Next: imprint -C {enrolled.folder} {words}"
