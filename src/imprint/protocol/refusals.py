"""The codes with which an authority refuses; each names one rule."""

from enum import StrEnum, unique


@unique
class Code(StrEnum):
    """Stable: stations, pages and reports match on them."""

    UNKNOWN_LOT = "unknown-lot"
    LOT_CLOSED = "lot-closed"
    GRANT_USED_UP = "grant-used-up"
    REFUNDS_USED_UP = "refunds-used-up"  # the lot's cap on refunds is reached
    NOT_SCRAPPED = "not-scrapped"  # a refund is for a unit that is scrapped, once
    ALREADY_CLAIMED = "already-claimed"  # a second claimant that cannot prove itself; the first is now contested
    ALREADY_COMPLETE = "already-complete"  # this hardware ID has shipped; it is now contested
    NOT_CLAIMED = "not-claimed"
    STALE_FENCE = "stale-fence"
    WRONG_STATE = "wrong-state"
    CONTESTED = "contested"
    SERIAL_REFUSED = "serial-refused"  # malformed, taken, or not the one that this unit was given
    POOL_EMPTY = "pool-empty"
    ALLOTTED_OUT = "allotted-out"  # far more boards have been given values than the lot has places
    BAD_REQUEST = "bad-request"  # a CSR or certificate that does not parse, or does not verify
    WEAK_KEY = "weak-key"
    WRONG_KEY = "wrong-key"  # not the key, algorithm or origin that the profile asks for
    KEY_TAKEN = "key-taken"  # this public key belongs to another unit
    KEY_COMPROMISED = "key-compromised"  # this unit's own key, which was revoked for that
    REVOKED = "revoked"  # a certificate that is revoked vouches for nothing any more
    EVIDENCE_TOO_WEAK = "evidence-too-weak"
    EVIDENCE_CONTRADICTS = "evidence-contradicts"
    UNKNOWN_UNIT = "unknown-unit"
    UNKNOWN_PRODUCT = "unknown-product"
    UNKNOWN_RELEASE = "unknown-release"
    NAME_TAKEN = "name-taken"
    RANGE_TAKEN = "range-taken"  # addresses that another product gives out
    NOT_COVERED = "not-covered"  # a lot closes only under a checkpoint that covers it
    NOT_INVITED = "not-invited"
    UNKNOWN_ACCOUNT = "unknown-account"
    REQUEST_CONFLICT = "request-conflict"  # the same request ID with another body
