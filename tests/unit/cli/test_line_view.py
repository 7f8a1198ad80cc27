"""What a person sees of a line whose authority goes away."""

import pytest

from imprint.cli.line_view import LineView
from imprint.station.run_event import RunEvent, RunOutcome, Status


def event(status: Status, message: str, fixture: str = "0") -> RunEvent:
    kind = RunOutcome if status is Status.COMPLETE else RunEvent
    return kind(fixture=fixture, run="r", hardware_id="01", serial="SN-1", step="claim", status=status, message=message)


@pytest.mark.parametrize("quiet", [False, True])
def test_an_authority_that_is_away_is_told_once_and_so_is_its_return(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineView(total=2, quiet=quiet) as view:
        view.take(event(Status.WORKING, ""))
        for fixture in "0101":
            view.take(event(Status.WAITING, "no answer", fixture))
        view.take(event(Status.PASSED, "serial SN-1"))
        view.take(event(Status.COMPLETE, "serial SN-1"))
    told = capsys.readouterr().err.splitlines()
    wanted = [
        "no answer; units in work wait for it",
        "the authority answers again",
        "✓ 1/2  0  SN-1  complete",
    ]
    assert told == ([] if quiet else wanted)
