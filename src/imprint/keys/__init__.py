"""Private keys behind one small interface: :class:`imprint.keys.signer.Signer`; one file a backend, chosen by URI."""
