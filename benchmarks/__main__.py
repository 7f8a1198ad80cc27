"""All benchmarks, one after the other: ``python -m benchmarks``."""

from benchmarks import authority, certificates, ledger, station

for module in (certificates, authority, ledger, station):
    print(f"\n{module.__name__.removeprefix('benchmarks.')}\n")
    module.main()
