"""The append-only log of all that was decided: the envelope of an entry, and the Merkle tree over the entries."""
