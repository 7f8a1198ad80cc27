"""Certificate revocation lists (RFC 5280 section 5)."""

from enum import StrEnum, unique


@unique
class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280 section 5.3.1), where units are revoked for good."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
