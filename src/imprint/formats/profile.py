"""An identity profile: what the certificate of a unit contains, as data (IEEE 802.1AR-2018 section 8)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from imprint.encoding import canonical
from imprint.errors import FormatError
from imprint.formats import der
from imprint.formats.public_key import Algorithm

_ORIGINS: Final = frozenset({"device", "preprovisioned"})
_LATER_ORIGINS: Final = frozenset({"element", "injected", "derived"})
_REQUIRED: Final = frozenset({"name", "key_algorithm", "key_origin", "organization", "hardware_type"})
_OPTIONAL: Final = frozenset({"key_usage", "masa_url"})
_MOST_ORGANIZATION: Final = 64  # ub-organization-name, RFC 5280 appendix A.1
_MOST_TEXT: Final = 255
_MOST_OID: Final = 80  # bytes of DER; with a hardware ID of 32 bytes every length is still one byte (X.690 8.1.3.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What :func:`parse_profile` accepted.

    ``organization`` is the subject's O; ``hardware_type`` the OID in HardwareModuleName (RFC 4108 section 5);
    ``key_usage`` whether the key-usage extension is there; ``masa_url`` where vouchers come from (RFC 8995 section
    2.3.2), or None.
    """

    name: str
    key_algorithm: Algorithm
    key_origin: str
    organization: str
    hardware_type: str
    key_usage: bool = True
    masa_url: str | None = None

    def encode(self) -> bytes:
        """Canonical JSON, every field in it; a lot pins the profile by the hash of these bytes."""
        return canonical(asdict(self) | {"key_algorithm": self.key_algorithm.value})


def parse_profile(fields: Mapping[str, object]) -> Profile:
    """A profile from a mapping out of a file, or :class:`FormatError` that names the field.

    Unknown fields are refused, and so are key origins that are defined but not supported yet.
    """
    if unknown := sorted(str(name) for name in fields.keys() - _REQUIRED - _OPTIONAL):
        raise FormatError("not a field of a profile", subject=f"profile field {', '.join(unknown)}")
    if missing := sorted(_REQUIRED - fields.keys()):
        raise FormatError("missing", subject=f"profile field {', '.join(missing)}", next_step="Add it")
    return Profile(
        name=_text(fields, "name", _MOST_TEXT),
        key_algorithm=_algorithm(fields),
        key_origin=_origin(fields),
        organization=_text(fields, "organization", _MOST_ORGANIZATION),
        hardware_type=_hardware_type(fields),
        key_usage=_key_usage(fields),
        masa_url=_masa_url(fields),
    )


def _wrong(name: str, what: str, next_step: str = "") -> FormatError:
    return FormatError(what, subject=f"profile field {name}", next_step=next_step)


def _text(fields: Mapping[str, object], name: str, most: int) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.isprintable() or value != value.strip() or not 0 < len(value) <= most:
        raise _wrong(name, f"not a text of 1 to {most} printable characters")
    return value


def _algorithm(fields: Mapping[str, object]) -> Algorithm:
    value = fields["key_algorithm"]
    if value not in [algorithm.value for algorithm in Algorithm]:
        raise _wrong("key_algorithm", "not an algorithm that is known", f"Use {' or '.join(Algorithm)}")
    return Algorithm(str(value))


def _origin(fields: Mapping[str, object]) -> str:
    value = fields["key_origin"]
    if isinstance(value, str) and value in _LATER_ORIGINS:
        raise _wrong("key_origin", f"{value!r} is not supported yet", f"Use {' or '.join(sorted(_ORIGINS))}")
    if not isinstance(value, str) or value not in _ORIGINS:
        raise _wrong("key_origin", "not an origin that is known", f"Use {' or '.join(sorted(_ORIGINS))}")
    return value


def _hardware_type(fields: Mapping[str, object]) -> str:
    value = _text(fields, "hardware_type", _MOST_TEXT)
    try:
        encoded = der.oid(value)
    except FormatError as problem:
        raise _wrong("hardware_type", problem.what, problem.next_step) from None
    if len(encoded) > _MOST_OID:
        raise _wrong("hardware_type", "longer than a HardwareModuleName can hold beside a hardware ID")
    return value


def _key_usage(fields: Mapping[str, object]) -> bool:
    value = fields.get("key_usage", True)
    if not isinstance(value, bool):
        raise _wrong("key_usage", "not true or false")
    return value


def _masa_url(fields: Mapping[str, object]) -> str | None:
    if fields.get("masa_url") is None:
        return None
    value = _text(fields, "masa_url", _MOST_TEXT)
    try:
        parts = urlsplit(value)
        usable = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not value.isascii() or " " in value or "@" in value or "#" in value:
        raise _wrong("masa_url", "not an https URL", "Write it like https://masa.example.com")
    return value
