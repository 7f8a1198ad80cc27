"""Checkpoints in the background: of what is new, and again after one that could not be made."""

from collections.abc import Callable

from imprint.make_checkpoints import making_checkpoints
from soft_factory import Factory, new_unit


def work_until(factory: Factory, done: Callable[[], bool], tell: Callable[[Exception], None]) -> None:
    with making_checkpoints(factory.platform, tell, interval_s=0.001):
        while not done():
            pass


def covered(factory: Factory) -> bool:
    head = factory.reader.tree.head()
    return head is not None and head.size == factory.size()


def test_what_is_decided_comes_under_a_checkpoint_though_an_earlier_try_failed(factory: Factory) -> None:
    factory.bench().claim(new_unit())
    assert not covered(factory)
    ledger, away = factory.folder / "ledger", factory.folder / "away"
    ledger.rename(away)
    ledger.touch()  # no folder: nothing can be written there
    told: list[Exception] = []

    def tell(problem: Exception) -> None:
        told.append(problem)
        if len(told) == 2:
            ledger.unlink()
            away.rename(ledger)

    work_until(factory, lambda: len(told) >= 2 and covered(factory), tell)
    assert len(told) == 2
