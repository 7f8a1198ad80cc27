"""The station against real units in another process, and the real authority in this one."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate
from station_line import LOT, STATION, authority, run_line, virtual_units

from imprint.assemble import Platform
from imprint.authority.production.commands import CloseLotUnder
from imprint.errors import RecipeError, StorageError
from imprint.keys.verify import encode_public_pem
from imprint.protocol.answers import Answer
from imprint.protocol.codec import decode_answer, decode_intention, encode_answer
from imprint.protocol.commands import CreateLot
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import CompleteUnit, Intention
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.station.fixture import Fixture
from imprint.station.journal import open_journal
from imprint.station.journal_entry import Answered, Asked, Entry, RunStarted, decode_entry
from imprint.station.recipe import SHIPPED, parse_recipe
from imprint.station.run_event import RunEvent, RunOutcome, Status
from imprint.station.targets import image_upload, smp, smp_exchange
from imprint.station.targets.smp import SmpTarget

TYPICAL = (SHIPPED / "typical.yaml").read_text()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a silent unit up soon."""
    for function in (smp_exchange.SmpExchange.ask, smp_exchange.SmpExchange.try_ask):
        assert function.__kwdefaults__ is not None
        monkeypatch.setitem(function.__kwdefaults__, "patience_s", (0.2, 0.3, 0.4, 0.5))
    monkeypatch.setattr(smp, "WORK_PATIENCE_S", (0.5, 0.5, 0.5))
    monkeypatch.setattr(image_upload, "_FIRST_PATIENCE_S", 0.1)
    monkeypatch.setattr(image_upload, "_SILENCE_S", 3.0)


def fixtures_of(units: list[dict[str, Any]]) -> list[Fixture]:
    return [Fixture(name=str(unit["unit"]), port=unit["port"]) for unit in units]


def entries(path: Path) -> list[Entry]:
    lines = path.read_bytes().splitlines()
    return [decode_entry(line, number, subject="j") for number, line in enumerate(lines, start=1)]


def lot_counts(platform: Platform) -> dict[str, int]:
    with platform.reader.store.reading() as store:
        row = store.get("lots", lot=LOT)
    assert row is not None
    return {name: row[name] for name in ("granted", "in_work", "shipped", "scrapped", "quarantined")}


def certificates_of(platform: Platform) -> Counter[str]:
    """How many certificates each hardware ID has."""
    with platform.reader.store.reading() as store:
        return Counter(row["hardware_id"] for row in store.find("certificates"))


def test_a_lot_with_every_kind_of_bad_unit(tmp_path: Path, impatient: None) -> None:
    """One process, ten fixtures at once: each fault is caught where it should be, and holds nobody up."""
    faults = ["1=self-test", "2=clone=0", "3=false-lock", "4=hang", "5=drop-bytes", "6=power-loss"]
    options = [text for fault in faults for text in ("--fault", fault)]
    journal_path, events = tmp_path / "j", list[RunEvent]()
    with (
        virtual_units(tmp_path / "V", 10, *options) as units,
        authority(tmp_path / "W") as platform,
        open_journal(journal_path) as journal,
    ):
        outcomes = asyncio.run(run_line(platform, journal, fixtures_of(units), at_once=10, events=events))
        seen = [(outcome.status, outcome.step) for outcome in outcomes]
        assert {seen[0], seen[2]} >= {(Status.REFUSED, "claim")}, "one of the twins is refused"
        assert Status.COMPLETE not in {seen[0][0], seen[2][0]}, "and neither of them is completed"
        assert seen[1] == (Status.RELEASED, "self-test")
        assert "vdd_mv 2710 is not within 3000..3600" in outcomes[1].message
        assert seen[3] == (Status.QUARANTINED, "final-check")
        assert "the firmware says locked, the port is open" in outcomes[3].message
        assert seen[4][0] is Status.RELEASED
        assert seen[5:] == [(Status.COMPLETE, None)] * 5
        assert lot_counts(platform)["shipped"] == 5
        identities = [journal.history.identity(unit["hardware_id"]) for unit in units]
        chain = platform.reader.chain()
    assert [one is not None for one in identities] == [False] * 5 + [True] * 5
    for number, certificate in enumerate(identities):
        if certificate is not None:
            check_with_openssl(tmp_path / str(number), certificate, chain)
    for outcome in outcomes:
        assert [event for event in events if event.fixture == outcome.fixture][-1] is outcome
    complete = [one for one in entries(journal_path) if isinstance(one, Asked) and one.request.endswith(".complete")]
    assert len(complete) == 5
    check_evidence(decode_intention(complete[0].body.encode()))


def check_with_openssl(folder: Path, certificate: bytes, chain: tuple[bytes, ...]) -> None:
    folder.mkdir()
    for name, data in (("cert", certificate), ("ca", chain[0]), ("root", chain[1])):
        (folder / f"{name}.pem").write_bytes(load_der_x509_certificate(data).public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", "cert.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_evidence(intention: Intention) -> None:
    assert isinstance(intention, CompleteUnit)
    graded = {(one.claim, one.grade) for one in intention.observed}
    observed, declared = Grade.STATION_OBSERVED, Grade.DECLARED
    assert graded >= {("debug", observed), ("debug", declared), ("power-cycle", observed), ("self-test", observed)}
    assert ("firmware", observed) not in graded, "what the firmware merely says is declared"
    assert {(one.step, one.name) for one in intention.measurements} == {
        ("self-test", "vdd_mv"),
        ("self-test", "temp_mc"),
        ("final-check", "vdd_mv"),
    }


@pytest.mark.parametrize("algorithm", ["p256", "ed25519"])
def test_the_unit_holds_what_it_was_given(tmp_path: Path, algorithm: str) -> None:
    """Read back by a driver of its own, after the run."""

    async def read(port: str) -> tuple[bytes | None, bytes | None, bytes | None, int]:
        target = SmpTarget(port, baud=115200)
        await target.open()
        try:
            return (
                await target.certificate(),
                await target.setting("imprint/serial"),
                await target.setting("imprint/mac"),
                await target.debug_level(),
            )
        finally:
            await target.close()

    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W", algorithm=algorithm) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
        assert outcome.status is Status.COMPLETE
        certificate, serial, mac, level = asyncio.run(read(units[0]["port"]))
        assert certificate == journal.history.identity(units[0]["hardware_id"])
    assert (serial, mac, level) == (b"SN-000001", b"02:00:00:00:00:00", 2)
    assert outcome.serial == "SN-000001"


def test_a_preprovisioned_element_is_checked_and_bound(tmp_path: Path) -> None:
    with virtual_units(tmp_path / "V", 2, "--preprovisioned", str(tmp_path / "vendor")) as units:
        root = load_pem_x509_certificate((tmp_path / "vendor" / "vendor-root.pem").read_bytes())
        with (
            authority(tmp_path / "W", vendor_root=root.public_bytes(Encoding.DER)) as platform,
            open_journal(tmp_path / "j") as journal,
        ):
            outcomes = asyncio.run(run_line(platform, journal, fixtures_of(units)))
    assert [outcome.status for outcome in outcomes] == [Status.COMPLETE] * 2


def test_a_unit_of_another_vendor_is_refused_by_the_authority(tmp_path: Path) -> None:
    with virtual_units(tmp_path / "V1", 1, "--preprovisioned", str(tmp_path / "vendor")):
        root = load_pem_x509_certificate((tmp_path / "vendor" / "vendor-root.pem").read_bytes())
    with (
        virtual_units(tmp_path / "V2", 1, "--preprovisioned", str(tmp_path / "other")) as units,
        authority(tmp_path / "W", vendor_root=root.public_bytes(Encoding.DER)) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
    assert (outcome.status, outcome.step) == (Status.RELEASED, "certify")


def test_a_complete_unit_proves_itself_and_its_clone_does_not(tmp_path: Path) -> None:
    with (
        virtual_units(tmp_path / "V", 2, "--fault", "1=clone=0") as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        unit, clone = fixtures_of(units)

        def once(fixture: Fixture) -> RunOutcome:
            return asyncio.run(run_line(platform, journal, [fixture]))[0]

        assert once(unit).status is Status.COMPLETE
        before = (tmp_path / "j").read_bytes()
        assert once(unit).status is Status.ALREADY_COMPLETE
        assert (tmp_path / "j").read_bytes() == before, "nothing is asked for a unit that proves itself"
        refused = once(clone)
        assert (refused.status, refused.step) == (Status.REFUSED, "claim")
        with platform.reader.store.reading() as store:
            (row,) = store.find("units", hardware_id=units[0]["hardware_id"])
        assert row["contested"], "the clone may have come first"


@pytest.mark.parametrize("right", [True, False])
def test_a_fused_boot_key_is_observed(tmp_path: Path, right: bool, impatient: None) -> None:
    """Ours: acknowledged. Another's: the unit can't be used, and is given back before it costs anything."""
    with authority(tmp_path / "W") as platform, open_journal(tmp_path / "j") as journal:
        (tmp_path / "key.pem").write_bytes(encode_public_pem(platform.boot_key))
        if not right:
            command = "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out key.pem"
            subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
        with virtual_units(tmp_path / "V", 1, "--boot-key", str(tmp_path / "key.pem")) as units:
            (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
    if right:
        assert outcome.status is Status.COMPLETE
    else:
        assert (outcome.status, outcome.step) == (Status.RELEASED, "fuse-boot-key")
        assert "another boot key" in outcome.message


def with_program(program: str, **options: Any) -> str:
    """The typical recipe with a test program before the key is made."""
    chosen = {"command": [sys.executable, "-c", program], "timeout_s": 20, **options}
    return TYPICAL.replace("  - make-key\n", f"  - run-program: {json.dumps(chosen)}\n  - make-key\n")


GOOD_PROGRAM = """
import json, os, sys
question = json.load(sys.stdin)
assert question["serial"] == "SN-000001", question
os.close(os.open(question["port"], os.O_RDWR))
print("key", 12345, file=sys.stderr)
values = [{"name": "i_ma", "value": 12.50, "unit": "mA"}, {"name": "secret", "value": 424242}]
print(json.dumps({"passed": True, "measurements": values}))
"""


def test_the_makers_program_has_the_port_and_its_named_values_are_kept(tmp_path: Path) -> None:
    recipe = with_program(GOOD_PROGRAM, measures=["i_ma"], limits={"i_ma": {"low": 10, "high": 12.5}})
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W", recipe=recipe) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
    assert outcome.status is Status.COMPLETE, outcome.message
    kept = (tmp_path / "j").read_bytes()
    assert b'"name":"i_ma"' in kept
    assert b"424242" not in kept, "only what the recipe names is kept"


def test_another_unit_in_the_fixture_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    """The program swaps the boards, as an operator might, while the station is not looking."""
    swap = "import os, sys; os.replace({1!r}, {0!r}); print('{{\"passed\": true}}')"
    with virtual_units(tmp_path / "V", 2) as units:
        ports = [unit["port"] for unit in units]
        with (
            authority(tmp_path / "W", recipe=with_program(swap.format(*ports))) as platform,
            open_journal(tmp_path / "j") as journal,
        ):
            (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units[:1])))
        stored = tmp_path / "V" / "units" / "1"
        assert not [path for path in stored.rglob("*") if b"imprint/serial" in path.read_bytes()]
    assert (outcome.status, outcome.step) == (Status.RELEASED, "run-program")
    assert f"another unit ({units[1]['hardware_id']})" in outcome.message


def test_an_act_without_an_answer_ends_in_quarantine(tmp_path: Path, impatient: None) -> None:
    """The unit falls silent at the request that burns the boot key: nobody knows whether it did."""
    with (
        virtual_units(tmp_path / "V", 1, "--fault", "0=hang=8") as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
        assert (outcome.status, outcome.step) == (Status.QUARANTINED, "fuse-boot-key")
        assert lot_counts(platform)["quarantined"] == 1


class Hooked:
    """An authority whose answers pass a hook first: a wire that fails on purpose."""

    def __init__(self, port: AuthorityPort, hook: Callable[[int], None]) -> None:
        self._port = port
        self._hook = hook
        self.count = 0
        self.answers: dict[str, set[bytes]] = {}

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        answer = await self._port.ask(request_id, intention)
        self.answers.setdefault(request_id, set()).add(encode_answer(answer))
        self.count += 1
        self._hook(self.count)
        return answer

    async def is_valid(self, certificate: bytes) -> bool:
        return await self._port.is_valid(certificate)

    async def lot(self, lot: str) -> LotPackage:
        return await self._port.lot(lot)


def test_a_wire_that_loses_every_other_answer_costs_nothing(tmp_path: Path) -> None:
    def lose(count: int) -> None:
        if count % 2:
            raise StorageError("the answer was lost")

    with (
        virtual_units(tmp_path / "V", 2) as units,
        authority(tmp_path / "W", count=2) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        port = Hooked(platform.station(STATION), lose)
        outcomes = asyncio.run(run_line(platform, journal, fixtures_of(units), port=port))
        assert [outcome.status for outcome in outcomes] == [Status.COMPLETE] * 2
        assert set(certificates_of(platform).values()) == {1}
        assert all(len(answers) == 1 for answers in port.answers.values()), "the same answer each time"
        assert port.count > len(port.answers)


def test_a_station_broken_off_at_every_step_goes_on_where_it_was(tmp_path: Path) -> None:
    """Cancelled at one step after the other, and in the end one undisturbed run: one identity, one place."""
    path = tmp_path / "j"
    names = [step.name for step in parse_recipe(TYPICAL.encode(), name="typical").steps]
    seen: list[RunEvent] = []

    async def break_off(platform: Platform, fixtures: list[Fixture]) -> str | None:
        """Run one step, and cancel as the next one starts."""
        events: list[RunEvent] = []
        with open_journal(path) as journal:
            running = asyncio.create_task(run_line(platform, journal, fixtures, events=events))
            started: list[str | None] = []
            while len(started) < 2:
                await asyncio.sleep(0)
                started = [one.step for one in events if one.status is Status.WORKING and not one.message]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        seen.extend(events)
        return started[1]

    with virtual_units(tmp_path / "V", 1) as units, authority(tmp_path / "W", count=1) as platform:
        fixtures = fixtures_of(units)
        assert [asyncio.run(break_off(platform, fixtures)) for _ in names[1:]] == names[1:]
        with open_journal(path) as journal:
            (outcome,) = asyncio.run(run_line(platform, journal, fixtures))
        assert outcome.status is Status.COMPLETE
        assert lot_counts(platform) == {"granted": 1, "in_work": 0, "shipped": 1, "scrapped": 0, "quarantined": 0}
        assert certificates_of(platform) == {units[0]["hardware_id"]: 1}
    assert len({event.run for event in seen if event.run}) == 1, "one run, whatever broke it off"
    asked = [one.request for one in entries(path) if isinstance(one, Asked)]
    assert len(asked) == len(set(asked)) == 5


KILLED = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from station_line import authority, run_line
from imprint.station.fixture import Fixture
from imprint.station.journal import open_journal
folder = Path({folder!r})
with authority(folder / "W") as platform, open_journal(folder / "j") as journal:
    fixtures = [Fixture(name=str(n), port=str(folder / "V" / str(n))) for n in range({count})]
    print("ready", flush=True)
    outcomes = asyncio.run(run_line(platform, journal, fixtures))
    print(*(outcome.status for outcome in outcomes), flush=True)
"""


def test_kill_at_random_moments_then_one_undisturbed_run(tmp_path: Path) -> None:
    count, kills = 4, 12
    chance = random.Random(20260101)
    program = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path), count=count)
    with virtual_units(tmp_path / "V", count) as units:
        with authority(tmp_path / "W", count=count):
            pass
        ends = []
        for number in range(kills + 1):
            process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if number < kills:
                time.sleep(chance.uniform(0.0, 0.35))
                os.kill(process.pid, signal.SIGKILL)
            ends.append(process.stdout.read())
            process.stdout.close()
            process.wait()
        good = {Status.COMPLETE.value, Status.ALREADY_COMPLETE.value}
        assert set(ends[-1].split()) <= good
        assert len(ends[-1].split()) == count
        with authority(tmp_path / "W", count=count) as platform:
            assert certificates_of(platform) == {unit["hardware_id"]: 1 for unit in units}
            assert lot_counts(platform)["shipped"] == count
            assert lot_counts(platform)["in_work"] == 0
    answers = [decode_answer(one.answer.encode()) for one in entries(tmp_path / "j") if isinstance(one, Answered)]
    assert Counter(answer.result.kind for answer in answers)["completed"] == count
    assert any(end == "" for end in ends[:-1]), "some were killed at work"


def test_an_unfinished_run_of_another_lot_is_left_alone(tmp_path: Path) -> None:
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        started = RunStarted(
            run="old", lot="L0", hardware_id=units[0]["hardware_id"], fixture="0", time="2026-01-01T00:00:00.000Z"
        )
        journal.append(started)
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
    assert outcome.status is Status.FAILED
    assert "lot L0 is unfinished" in outcome.message


def test_an_unfinished_run_of_a_lot_that_has_closed_is_over(tmp_path: Path) -> None:
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        typical = (SHIPPED / "typical.yaml").read_text()
        platform.command(
            CreateLot(
                lot="L0",
                product="lamp",
                count=1,
                recipe=typical,
                recipe_name="typical",
                firmware="1.0.0+0",
                diagnostic="0.9.0+0",
            )
        )
        platform.command(CloseLotUnder(lot="L0", checkpoint=platform.checkpoint().note))
        started = RunStarted(
            run="old", lot="L0", hardware_id=units[0]["hardware_id"], fixture="0", time="2026-01-01T00:00:00.000Z"
        )
        journal.append(started)
        (outcome,) = asyncio.run(run_line(platform, journal, fixtures_of(units)))
        assert outcome.status is Status.COMPLETE
        assert not list(journal.history.unfinished(units[0]["hardware_id"]))


def test_a_recipe_that_does_not_fit_is_told_before_any_unit_is_touched(tmp_path: Path) -> None:
    with authority(tmp_path / "W", recipe=(SHIPPED / "preprovisioned.yaml").read_text()) as platform:
        with open_journal(tmp_path / "j") as journal, pytest.raises(RecipeError, match="key origin is device"):
            asyncio.run(run_line(platform, journal, [Fixture(name="0", port="/nowhere")]))
        assert (tmp_path / "j").read_bytes() == b""


def test_a_port_that_is_not_there_fails_alone(tmp_path: Path) -> None:
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        fixtures = [Fixture(name="none", port=str(tmp_path / "none")), *fixtures_of(units)]
        bad, good = asyncio.run(run_line(platform, journal, fixtures))
    assert (bad.status, good.status) == (Status.FAILED, Status.COMPLETE)
    assert bad.run is None


def test_every_entry_is_on_the_disk_before_append_returns(tmp_path: Path) -> None:
    """strace sees the write and the sync of every line, in this order."""
    program = (
        "import sys; from pathlib import Path; from imprint.station.journal import open_journal\n"
        "from imprint.station.journal_entry import RunStarted\n"
        "with open_journal(Path(sys.argv[1])) as journal:\n"
        "    for n in range(3):\n"
        "        journal.append(RunStarted(run=f'r{n}', lot='L', hardware_id='01', fixture='0', time='t'))\n"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=write,fsync", "-o", str(trace), sys.executable, "-c", program]
    subprocess.run([*command, str(tmp_path / "j")], check=True)
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    order = [call.split("(")[0] for call in calls if "run-started" in call or call.startswith("fsync")]
    assert order == ["fsync", *["write", "fsync"] * 3]
