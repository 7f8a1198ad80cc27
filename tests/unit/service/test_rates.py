"""A bucket for each account."""

from imprint.service.rates import Rates


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_rate() -> None:
    clock = Seconds()
    rates = Rates(clock, rate=10, burst=3)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.1]
    assert rates.take("b") == 0, "another's bucket"
    clock.now = 0.05
    assert round(rates.take("a"), 6) == 0.05
    clock.now = 0.1
    assert [round(rates.take("a"), 6) for _ in range(2)] == [0, 0.1]
    clock.now = 100
    assert [round(rates.take("a"), 6) for _ in range(4)] == [0, 0, 0, 0.1], "a rest saves no more than a burst"


def test_being_refused_costs_nothing() -> None:
    clock = Seconds()
    rates = Rates(clock, rate=1, burst=1)
    assert rates.take("a") == 0
    assert [rates.take("a") for _ in range(100)] == [1] * 100
    clock.now = 1
    assert rates.take("a") == 0
