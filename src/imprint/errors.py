"""The one error tree of the project.

Every error says *what* happened, to *what* (the subject) and what to do *next*::

    ImprintError
    ├── InputError          bytes, a file or a value from outside that we do not accept
    │   ├── FormatError     bytes that are not what their format asks for
    │   ├── RecipeError     a recipe or product file, with its line
    │   ├── WeakKeyError    a public key whose private key can be guessed
    │   └── WrongKeyError   a public key of another kind, or another key, than was asked for
    ├── RefusedError        the authority said no; carries the code of the rule
    ├── AccessError         the authority does not know, or no longer trusts, who asks
    ├── ConflictError       two things that cannot both be true (a request ID with another body, a busy journal)
    ├── WorkspaceError      the folder, its files or its settings
    │   └── PassphraseError a key file that does not open with the passphrase given
    ├── KeyStoreError       a signer that is missing, weak, of the wrong kind or that failed
    ├── StorageError        the database or a file could not be written or read
    │   └── Unreachable     the authority does not answer; it may have decided, or not
    ├── LedgerError         the ledger and the world disagree: tampering, roll-back, a broken proof
    └── UnitError           the unit on the bench
        ├── UnitSilent      no answer in time, or an answer that is not one
        ├── UnitRefused     the unit answered with an error
        └── UnitFailed      the unit answered, and the answer fails a check

An error never contains a secret: no key, no passphrase, no console capture.
"""


class ImprintError(Exception):
    """What happened, to what, and what to do next.

    ``what`` is one sentence without a full stop; ``subject`` names the file, unit, row or field; ``next_step``
    tells the reader what to do. All three may be shown to anybody.
    """

    def __init__(self, what: str, *, subject: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.subject = subject
        self.next_step = next_step

    def __str__(self) -> str:
        head = f"{self.subject}: {self.what}" if self.subject else self.what
        return f"{head}. {self.next_step}" if self.next_step else head


class InputError(ImprintError):
    """Something from outside that we do not accept."""


class FormatError(InputError):
    """Bytes that are not what their format asks for."""


class RecipeError(InputError):
    """A recipe or product file that does not fit its schema; ``subject`` holds ``file:line``."""


class WeakKeyError(InputError):
    """A public key whose private key, or whose signatures, can be guessed."""


class WrongKeyError(InputError):
    """A public key of another kind, or another key, than was asked for."""


class RefusedError(ImprintError):
    """The authority said no. ``code`` names the rule (see :mod:`imprint.protocol.refusals`)."""

    def __init__(self, what: str, *, code: str, subject: str = "", next_step: str = "") -> None:
        super().__init__(what, subject=subject, next_step=next_step)
        self.code = code


class AccessError(ImprintError):
    """The authority does not know, or no longer trusts, who asks."""


class ConflictError(ImprintError):
    """Two things that cannot both be true."""


class WorkspaceError(ImprintError):
    """The workspace's folder, files or settings."""


class PassphraseError(WorkspaceError):
    """A key file does not open with the passphrase that was given."""


class KeyStoreError(ImprintError):
    """A key or signer is missing, weak, of the wrong kind, or failed."""


class StorageError(ImprintError):
    """The database or a file could not be read or written."""


class Unreachable(StorageError):
    """The authority does not answer. It may have decided, or not: ask again with the same request ID."""


class LedgerError(ImprintError):
    """The ledger and the world disagree."""


class UnitError(ImprintError):
    """Something about the unit on the bench."""


class UnitSilent(UnitError):
    """The unit did not answer in time, or its answer was not one."""


class UnitRefused(UnitError):
    """The unit answered with an error."""


class UnitFailed(UnitError):
    """The unit answered, and the answer fails a check."""
