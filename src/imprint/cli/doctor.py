"""``imprint doctor``: is this machine, and this workspace, fit for work?"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer

from imprint.cli import workspace_folder
from imprint.cli.finding import Finding, Status
from imprint.cli.machine_checks import machine_checks
from imprint.cli.output import Json, note, show
from imprint.cli.workspace_checks import workspace_checks
from imprint.clock import system_clock
from imprint.enrol import is_enrolled, open_enrolled
from imprint.errors import WorkspaceError
from imprint.storage.workspace import SETTINGS

app = typer.Typer(add_completion=False)


@app.command()
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check this machine: versions, clock, disk, serial ports; and the workspace, if one is selected: settings,
    permissions, keys, schema, roll-back. Needs no passphrase and changes nothing.

    Exits with 6 when a check fails. A warning is no failure.

    Example: imprint -C ./acme doctor
    """
    findings = list(_findings(workspace_folder(ctx)))
    show({"checks": [asdict(finding) for finding in findings]}, as_json=as_json)
    failed = [finding.check for finding in findings if finding.status is Status.FAIL]
    if failed:
        raise WorkspaceError(f"failed: {', '.join(failed)}", subject="doctor", next_step="The table says what to do")
    warned = sum(finding.status is Status.WARN for finding in findings)
    if not as_json:
        note(f"Fit for work; warnings: {warned}" if warned else "Fit for work")


def _findings(folder: Path) -> Iterator[Finding]:
    now = system_clock()
    yield from machine_checks(folder if folder.is_dir() else Path(), now)
    if is_enrolled(folder):
        enrolled = open_enrolled(folder)
        yield Finding(check="enrolled folder", found=f"{enrolled.name} ({enrolled.role}) at {enrolled.url}")
        return
    # Without -C the current folder may be any folder; one that was named must be a workspace.
    if folder != Path() or (folder / SETTINGS).exists():
        yield from workspace_checks(folder, now)
    else:
        yield Finding(check="workspace", found="none selected; name one with -C DIR or IMPRINT_HOME")
