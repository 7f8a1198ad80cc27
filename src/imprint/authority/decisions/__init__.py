"""The kernel: who asked, request ID, entry, changes and receipt, all in one transaction.

A *rule* is a pure function from a request and what is stored to an ``Outcome``: events and a result. Each room says
what an event changes (``changes.py`` holds the two kinds of change); the same functions serve the live transaction and
the replay of the ledger, so no room can change state without an entry.
"""
