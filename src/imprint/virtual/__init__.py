"""A unit made of software: flash, fuses, boot ROM, key slot, debug port, SMP server. Reached through a port.

``flash``, ``fuses``, ``key_slot`` and ``silicon`` are what keeps its state without power; ``slots`` and ``boot_rom``
decide what runs; ``unit`` is the running firmware and ``*_commands`` what it answers; ``framing`` and ``server`` put
units behind serial lines. ``docs/formats/virtual-unit.md`` describes it from outside.
"""
