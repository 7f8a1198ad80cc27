"""Stations that are up to no good, for whoever wants to see what their authority makes of them.

A :class:`Trick` is what one such station tries, with the codes by which the authority must refuse it, each at least
once. What a trick gets away with is graded for what it is: the word of that station.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from types import MappingProxyType
from typing import Final

from imprint.encoding import sha256
from imprint.formats.provisioning_group import DebugLevel
from imprint.protocol.answers import Answer, Challenged, Claimed, Refused
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import Intention, ReleaseUnit
from imprint.protocol.refusals import Code
from imprint.testing.soft_station import SoftStation, expect, observations
from imprint.testing.soft_unit import SoftUnit, new_key

FLOOD: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What a hostile station has to begin with: its name, the most boards that it makes up, and what it has overheard
    of other stations: request IDs with what was asked under them."""

    name: str
    boards: int
    overheard: Sequence[tuple[str, Intention]] = ()


Play = Callable[[SoftStation, Kit], Awaitable[list[Answer]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """What a station tries. ``play`` gives all the answers it got."""

    play: Play
    refused: frozenset[Code]


def invented(station: SoftStation, kit: Kit) -> list[SoftUnit]:
    """Boards that nobody has ever soldered, of the algorithm that the lot asks for. The same name, the same boards."""
    names = (f"{kit.name} {number}".encode() for number in range(kit.boards))
    return [SoftUnit(hardware_id=sha256(name)[:12], key=new_key(station.package.key_algorithm)) for name in names]


async def take_more_than_the_grant(station: SoftStation, kit: Kit) -> list[Answer]:
    """Claims and certifies one board after the other, whether or not there is a place."""
    answers = []
    for unit in invented(station, kit):
        answers.append(claim := await station.ask(station.claiming(unit)))
        fence = claim.result.fence if isinstance(claim.result, Claimed) else 1
        answers.append(await station.ask(station.certifying(unit, fence)))
    return answers


async def use_the_ids_of_others(station: SoftStation, kit: Kit) -> list[Answer]:
    """Asks what others have asked, word for word under their request IDs, to be given their answers; and once more
    under an ID that meant something else before."""
    answers = []
    for (request_id, intention), unit in zip(kit.overheard, invented(station, kit), strict=False):
        answers.append(await station.port.ask(request_id, intention))
        own, other = station.claiming(unit), f"{request_id}-2"
        answers += [await station.port.ask(other, own), await station.port.ask(other, intention)]
    return answers


async def swap_units(station: SoftStation, kit: Kit) -> list[Answer]:
    """Takes two boards to their last step, and completes each as the other, in three ways."""
    one, two = invented(station, kit)[:2]
    challenges, certificates = [], []
    for unit in (one, two):
        claimed = await station.claim(unit)
        certificates.append((await station.certify(unit, claimed.fence)).certificate)
        challenges.append((await station.permit(unit, claimed.fence)).challenge)
    station.load(one, certificates[0])
    station.load(two, certificates[1])
    of_two = station.completing(two, 1, challenges[0])
    statement_of_two = replace(of_two, hardware_id=one.hardware_id.hex())
    answers = [await station.ask(statement_of_two), await station.ask(station.completing(one, 1, challenges[1]))]
    station.load(one, certificates[1])
    return [*answers, await station.ask(station.completing(one, 1, challenges[0]))]


async def relabel(station: SoftStation, kit: Kit) -> list[Answer]:
    """Scans the label of one board for the next, and another label for the same."""
    one, two = invented(station, kit)[:2]
    label, other = f"L-{one.hardware_id.hex()[:8]}", f"L-{two.hardware_id.hex()[:8]}"
    first = await station.claim(one, serial=label)
    release = ReleaseUnit(lot=station.package.lot, hardware_id=one.hardware_id.hex(), fence=first.fence, reason="?")
    answers = [await station.ask(station.claiming(two, serial=label)), await station.ask(release)]
    return [*answers, await station.ask(station.claiming(one, serial=other))]


async def certify_one_key_twice(station: SoftStation, kit: Kit) -> list[Answer]:
    """One key for two boards, and two keys for one."""
    one, two = invented(station, kit)[:2]
    fences = [(await station.claim(unit)).fence for unit in (one, two)]
    answers = [await station.ask(station.certifying(one, fences[0]))]
    two.key = one.key
    answers.append(await station.ask(station.certifying(two, fences[1])))
    three = (await station.claim(other := invented(station, replace(kit, name=f"{kit.name}'s other"))[0])).fence
    answers.append(await station.ask(station.certifying(other, three)))
    other.key = new_key(station.package.key_algorithm)
    return [*answers, await station.ask(station.certifying(other, three))]


async def claim_an_open_lock(station: SoftStation, kit: Kit) -> list[Answer]:
    """Completes a board without a permit, asks for permits without looking, and completes one that is not locked."""
    unit = invented(station, kit)[0]
    fence = (await station.claim(unit)).fence
    certified = await station.certify(unit, fence)
    station.load(unit, certified.certificate)
    looked = station.permitting(unit, fence)
    blind = [replace(looked, observed=()), replace(looked, observed=observations({"firmware": "00" * 32}))]
    answers = [await station.ask(station.completing(unit, fence, certified.challenge))]
    answers += [await station.ask(intention) for intention in blind]
    challenge = (await station.permit(unit, fence)).challenge
    unit.statement = replace(unit.statement, debug=DebugLevel.OPEN.value)
    return [*answers, await station.ask(station.completing(unit, fence, challenge))]


async def forge_read_backs(station: SoftStation, kit: Kit) -> list[Answer]:
    """Completes a board with what it says silicon has attested and the unit has signed."""
    unit = invented(station, kit)[0]
    fence = (await station.claim(unit)).fence
    station.load(unit, (await station.certify(unit, fence)).certificate)
    honest = station.completing(unit, fence, (await station.permit(unit, fence)).challenge)
    grades = {"debug": Grade.ATTESTED, "self-test": Grade.UNIT_SIGNED}
    forged = tuple(replace(one, grade=grades[one.claim]) for one in honest.observed)
    return [await station.ask(replace(honest, observed=forged))]


async def flood_with_bodies(station: SoftStation, kit: Kit) -> list[Answer]:
    """One request ID, and another body each time."""
    unit = invented(station, kit)[0]
    runs = (f"run {number}" for number in range(FLOOD))
    return [await station.port.ask(f"{kit.name} again", station.claiming(unit, run=run)) for run in runs]


async def flood_with_claims(station: SoftStation, kit: Kit) -> list[Answer]:
    """One board in many runs at once."""
    unit = invented(station, kit)[0]
    return [await station.ask(station.claiming(unit, run=f"run {number}")) for number in range(FLOOD)]


async def drain_the_pools(station: SoftStation, kit: Kit) -> list[Answer]:
    """Draws serial numbers and values with made-up boards, and gives each place back at once."""
    answers = []
    for number in count():
        unit = invented(station, Kit(name=f"{kit.name} {number}", boards=1))[0]
        answers.append(await station.ask(station.claiming(unit)))
        if isinstance(answers[-1].result, Refused):
            return answers
        lot, fence = station.package.lot, expect(Claimed, answers[-1]).fence
        give_back = ReleaseUnit(lot=lot, hardware_id=unit.hardware_id.hex(), fence=fence, reason="?")
        answers.append(await station.ask(give_back))
    raise AssertionError("a refusal ends it")


async def come_for_units_of_others(station: SoftStation, kit: Kit) -> list[Answer]:
    """Claims what others have certified, again and again, and answers the challenges with all that it could overhear:
    statements for other challenges, claims of others."""
    answers = []
    known = {intention.hardware_id for _, intention in kit.overheard}
    for hardware_id, number in product(sorted(known), range(FLOOD)):
        unit = SoftUnit(hardware_id=bytes.fromhex(hardware_id), key=new_key(station.package.key_algorithm))
        answers.append(await station.ask(station.claiming(unit, run=f"run {number}")))
    for claim, intention in kit.overheard:
        unit = SoftUnit(hardware_id=bytes.fromhex(intention.hardware_id))
        answers.append(await station.ask(station.taking_over(unit, claim, bytes(32))))
    return answers


async def pass_a_clone_off(station: SoftStation, kit: Kit) -> list[Answer]:
    """Claims what others have certified, with boards that have the hardware IDs and keys of their own."""
    answers = []
    for hardware_id in sorted({intention.hardware_id for _, intention in kit.overheard}):
        clone = SoftUnit(hardware_id=bytes.fromhex(hardware_id), key=new_key(station.package.key_algorithm))
        claim = f"{kit.name} {hardware_id}"
        answers.append(asked := await station.port.ask(claim, station.claiming(clone, run="clone")))
        challenge = asked.result.challenge if isinstance(asked.result, Challenged) else bytes(32)
        answers.append(await station.ask(station.taking_over(clone, claim, challenge)))
    return answers


async def squat(station: SoftStation, kit: Kit) -> list[Answer]:
    """Claims every place and never goes on."""
    answers = []
    for unit in invented(station, kit):
        answers.append(await station.ask(station.claiming(unit)))
    return answers


async def go_on_too_late(station: SoftStation, kit: Kit) -> list[Answer]:
    """Comes back, after its leases have ended, to the places of :func:`squat`."""
    return [await station.ask(station.certifying(unit, 1)) for unit in invented(station, kit)]


def _trick(play: Play, *refused: Code) -> Trick:
    return Trick(play=play, refused=frozenset(refused))


TRICKS: Final[Mapping[str, Trick]] = MappingProxyType(
    {
        "over the grant": _trick(take_more_than_the_grant, Code.GRANT_USED_UP, Code.NOT_CLAIMED),
        "the IDs of others": _trick(use_the_ids_of_others, Code.STALE_FENCE, Code.REQUEST_CONFLICT),
        "swapped units": _trick(swap_units, Code.EVIDENCE_CONTRADICTS),
        "swapped labels": _trick(relabel, Code.SERIAL_REFUSED),  # for products whose serial numbers are scanned
        "one key twice": _trick(certify_one_key_twice, Code.KEY_TAKEN, Code.WRONG_KEY),
        "an open lock": _trick(claim_an_open_lock, Code.WRONG_STATE, Code.EVIDENCE_CONTRADICTS),
        "forged read-backs": _trick(forge_read_backs),
        "a flood of bodies": _trick(flood_with_bodies, Code.REQUEST_CONFLICT),
        "a flood of claims": _trick(flood_with_claims, Code.ALREADY_CLAIMED),
        "drained pools": _trick(drain_the_pools, Code.ALLOTTED_OUT),
        "units of others": _trick(come_for_units_of_others, Code.STALE_FENCE),
        "clones": _trick(pass_a_clone_off, Code.ALREADY_CLAIMED),
        "squatted places": _trick(squat, Code.GRANT_USED_UP),
    }
)
