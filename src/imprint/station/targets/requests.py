"""The provisioning group's requests as ``smpclient`` wants them: each tied to its response and errors."""

from imprint.formats import provisioning_group as group


class _Errors:
    _ErrorV1 = group.ErrorV1
    _ErrorV2 = group.ErrorV2


class Identify(group.IdentifyRequest, _Errors):
    """Who are you?"""

    _Response = group.IdentifyResponse


class KeyRead(group.KeyReadRequest, _Errors):
    """The identity key."""

    _Response = group.KeyReadResponse


class KeyWrite(group.KeyWriteRequest, _Errors):
    """Make the identity key."""

    _Response = group.KeyWriteResponse


class Csr(group.CsrRequest, _Errors):
    """A certificate request."""

    _Response = group.CsrResponse


class CertificateRead(group.CertificateReadRequest, _Errors):
    """A piece of the certificate."""

    _Response = group.CertificateReadResponse


class CertificateWrite(group.CertificateWriteRequest, _Errors):
    """A piece of the certificate, to store."""

    _Response = group.CertificateWriteResponse


class BootKeyRead(group.BootKeyReadRequest, _Errors):
    """The boot-key fuses."""

    _Response = group.BootKeyReadResponse


class BootKeyWrite(group.BootKeyWriteRequest, _Errors):
    """Burn the boot-key fuses."""

    _Response = group.BootKeyWriteResponse


class DebugRead(group.DebugReadRequest, _Errors):
    """The debug level."""

    _Response = group.DebugReadResponse


class DebugWrite(group.DebugWriteRequest, _Errors):
    """Raise the debug level."""

    _Response = group.DebugWriteResponse


class CountersRead(group.CountersRequest, _Errors):
    """The counters."""

    _Response = group.CountersResponse


class Prove(group.ProveRequest, _Errors):
    """A signed statement."""

    _Response = group.ProveResponse


class RunSelfTest(group.SelfTestRequest, _Errors):
    """The firmware's own test."""

    _Response = group.SelfTestResponse
