"""Fuses: bits that never go back."""

from hypothesis import given
from hypothesis import strategies as st
from virtual_bench import OTHER_KEY, spki

from imprint.encoding import sha256
from imprint.formats.provisioning_group import DebugLevel
from imprint.virtual.fuses import SIZE, Fuses

arrays = st.binary(min_size=SIZE - 1, max_size=SIZE - 1).flatmap(
    lambda bits: st.sampled_from([b"\0", b"\1", b"\2", b"\3"]).map(lambda debug: Fuses(bits + debug))
)


@given(arrays, st.integers(0, SIZE - 1), st.binary(max_size=40))
def test_burning_sets_the_asked_bits_and_clears_none(fuses: Fuses, offset: int, data: bytes) -> None:
    data = data[: SIZE - offset]
    after = fuses.burned(offset, data).bits
    assert len(after) == SIZE
    for position, (old, new) in enumerate(zip(fuses.bits, after, strict=True)):
        wanted = data[position - offset] if offset <= position < offset + len(data) else 0
        assert new == old | wanted


@given(arrays, st.sampled_from(DebugLevel))
def test_the_debug_level_only_rises(fuses: Fuses, level: DebugLevel) -> None:
    assert fuses.with_debug(level).debug == max(fuses.debug, level)


def test_the_boot_key_is_read_back() -> None:
    blank = Fuses()
    assert blank.boot_key is None
    assert blank.boot_key_hash == b""
    assert blank.debug is DebugLevel.OPEN
    fused = blank.with_boot_key(spki())
    assert fused.boot_key == spki()
    assert fused.boot_key_hash == sha256(spki())
    assert fused.with_boot_key(spki()) == fused


def test_a_second_key_spoils_the_first() -> None:
    spoilt = Fuses().with_boot_key(spki()).with_boot_key(spki(OTHER_KEY))
    assert spoilt.boot_key not in (spki(), spki(OTHER_KEY))
