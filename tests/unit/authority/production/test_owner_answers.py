"""What the owner's commands answer, and that they keep to their lot."""

from imprint.authority.production.commands import CloseLotUnder
from imprint.protocol.commands import ScrapUnit
from soft_factory import LOT, Factory, new_unit


def test_a_lot_that_was_closed_says_so(factory: Factory) -> None:
    head = factory.platform.checkpoint()
    assert factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=head.note)) == "closed"


def test_a_scrapped_certificate_is_named_to_its_holders(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
    assert factory.entries()[-1].public == {"certificate": factory.unit(unit)["certificate"]}
