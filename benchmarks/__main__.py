"""All benchmarks, one after the other: ``python -m benchmarks``."""

from benchmarks import authority, certificates, ledger, service, station, stored

for module in (certificates, authority, service, stored, ledger, station):
    print(f"\n{module.__name__.removeprefix('benchmarks.')}\n")
    module.main()
