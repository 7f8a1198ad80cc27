"""What the tests of journals share: entries that follow each other, as a station writes them."""

from imprint.protocol.answers import Answer, Certified, Claimed, Receipt, Result
from imprint.protocol.codec import encode_answer, encode_intention
from imprint.protocol.evidence import Grade, Measurement, Observation
from imprint.protocol.intentions import ClaimUnit
from imprint.station.journal_entry import Answered, Asked, Entry, RunEnded, RunStarted, StepPassed
from imprint.station.run_event import Status

TIME = "2026-01-01T00:00:00.000Z"
CLAIMED = Claimed(state="claimed", serial="S1", fence=1, values={"mac": "02"}, challenge=b"c" * 32)
CERTIFIED = Certified(certificate=b"certificate", chain=(), challenge=b"d" * 32)


def answer(result: Result) -> str:
    receipt = Receipt(leaf="00" * 32, time=TIME, signature=b"s" * 64)
    return encode_answer(Answer(result=result, receipt=receipt)).decode()


def story(run: str, hardware_id: str, *, outcome: Status = Status.COMPLETE) -> list[Entry]:
    """A whole run: claim, a passed step, certify, the end."""
    body = encode_intention(ClaimUnit(lot="L", run=run, hardware_id=hardware_id)).decode()
    seen = Observation(claim="self-test", value="passed", grade=Grade.STATION_OBSERVED, time=TIME)
    measured = Measurement(step="self-test", name="vdd_mv", value="3300", passed=True)
    return [
        RunStarted(run=run, lot="L", hardware_id=hardware_id, fixture="0", time=TIME),
        Asked(run=run, request=f"{run}.claim", body=body),
        Answered(run=run, request=f"{run}.claim", answer=answer(CLAIMED)),
        StepPassed(run=run, index=4, step="self-test", observed=(seen,), measured=(measured,)),
        Asked(run=run, request=f"{run}.certify", body=body),
        Answered(run=run, request=f"{run}.certify", answer=answer(CERTIFIED)),
        RunEnded(run=run, outcome=outcome, time=TIME),
    ]
