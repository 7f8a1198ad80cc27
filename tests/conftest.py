"""Settings of all tests."""

from hypothesis import settings

# A machine that is shared is slow at times. How long things take is for the benchmarks to say.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
