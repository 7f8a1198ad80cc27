"""The steps of which recipes are made, by name. ``docs/formats/recipe.md`` explains each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imprint.station.steps.completion import complete, final_check
from imprint.station.steps.firmware import LoadOptions, load_firmware
from imprint.station.steps.functional_test import TestOptions, self_test
from imprint.station.steps.identity_key import certify, check_identity, make_key, write_certificate
from imprint.station.steps.irreversible import fuse_boot_key, lock_debug
from imprint.station.steps.place import claim, identify
from imprint.station.steps.power import power_cycle
from imprint.station.steps.program import MOST_SECONDS, ProgramOptions, run_program
from imprint.station.steps.step import Step
from imprint.station.steps.values import write_values

STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "identify": Step(act=identify),
        "claim": Step(act=claim),
        "fuse-boot-key": Step(act=fuse_boot_key, writes=True),
        "load-firmware": Step(act=load_firmware, options=LoadOptions, timeout_s=900.0, writes=True, repeatable=True),
        "self-test": Step(act=self_test, options=TestOptions, repeatable=True),
        "run-program": Step(act=run_program, options=ProgramOptions, timeout_s=MOST_SECONDS + 60.0, repeatable=True),
        "make-key": Step(act=make_key, writes=True),
        "check-identity": Step(act=check_identity),
        "certify": Step(act=certify),
        "write-certificate": Step(act=write_certificate, writes=True),
        "write-values": Step(act=write_values, writes=True),
        "lock-debug": Step(act=lock_debug, writes=True),
        "power-cycle": Step(act=power_cycle, repeatable=True),
        "final-check": Step(act=final_check, options=TestOptions),
        "complete": Step(act=complete),
    }
)
