"""Who is let in: invitations, enrolments, suspensions."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from imprint.authority.access.account import Account, Role, find_account, find_invitation
from imprint.authority.decisions.kernel import Ask
from imprint.encoding import sha256_hex
from imprint.errors import AccessError
from imprint.protocol.answers import Enrolled, Refused
from imprint.protocol.commands import InviteAccount, ResumeAccount, SuspendAccount
from imprint.protocol.enrolment import Enrolment
from imprint.protocol.refusals import Code
from soft_factory import Factory, decide

CODE = "A" * 26
HOUR = timedelta(hours=1)


def csr(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever it says")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return builder.sign(key, None).public_bytes(Encoding.DER)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


def invite(factory: Factory, name: str = "bench-1", role: str = "station", code: str = CODE, hours: int = 1) -> None:
    command = InviteAccount(name=name, role=role, code=sha256_hex(code.encode()), hours=hours)
    assert factory.platform.command(command) == "invited"


def enrol(
    factory: Factory, name: str = "bench-1", code: str = CODE, request: bytes | None = None
) -> Enrolled | Refused:
    request = request or csr()
    asked = Enrolment(name=name, code=code, csr=request)
    ask = Ask(actor=name, request_id=f"enrol-{sha256_hex(request)}", body=request, request=asked)
    result = decide(factory, ask).result
    assert isinstance(result, Enrolled | Refused)
    return result


def certificate_of(factory: Factory, name: str = "bench-1", code: str = CODE) -> str:
    result = enrol(factory, name, code)
    assert isinstance(result, Enrolled), result
    return sha256_hex(result.certificate)


def found(factory: Factory, certificate: str) -> Account:
    with factory.reader.store.reading() as store:
        return find_account(store, certificate)


def test_an_invited_account_enrols_once(factory: Factory) -> None:
    invite(factory)
    result = enrol(factory)
    assert isinstance(result, Enrolled)
    assert (result.name, result.role) == ("bench-1", "station")
    account = found(factory, sha256_hex(result.certificate))
    assert (account.name, account.role) == ("bench-1", Role.STATION)
    again = enrol(factory)
    assert isinstance(again, Refused)
    assert again.code == Code.NOT_INVITED
    factory.check()


def test_the_certificate_names_the_account_and_nothing_that_the_request_asked_for(factory: Factory) -> None:
    invite(factory)
    result = enrol(factory)
    assert isinstance(result, Enrolled)
    certificate = x509.load_der_x509_certificate(result.certificate)
    names = [attribute.value for attribute in certificate.subject]
    assert names == ["Example", "bench-1"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    ca = x509.load_der_x509_certificate(factory.reader.access_ca())
    certificate.verify_directly_issued_by(ca)
    assert certificate.not_valid_before_utc == factory.clock().replace(microsecond=0) - HOUR
    assert certificate.not_valid_after_utc == factory.clock().replace(microsecond=0) + timedelta(days=365)


@pytest.mark.parametrize("code", ["B" * 26, "", CODE.lower()])
def test_another_code_is_refused(factory: Factory, code: str) -> None:
    invite(factory)
    result = enrol(factory, code=code)
    assert (isinstance(result, Refused) and result.code) == Code.NOT_INVITED
    with factory.reader.store.reading() as store:
        assert find_invitation(store, "bench-1", code, factory.clock()) is None
        assert find_invitation(store, "nobody", CODE, factory.clock()) is None
        assert find_invitation(store, "bench-1", CODE, factory.clock()) is not None


def test_a_code_is_good_up_to_its_hour(factory: Factory) -> None:
    invite(factory)
    factory.clock.advance(HOUR + timedelta(milliseconds=1))
    result = enrol(factory)
    assert (isinstance(result, Refused) and result.code) == Code.NOT_INVITED
    invite(factory)
    factory.clock.advance(HOUR)
    certificate_of(factory)


def test_a_newer_certificate_ends_the_older(factory: Factory) -> None:
    invite(factory)
    first = certificate_of(factory)
    invite(factory, code="C" * 26)
    assert found(factory, first).name == "bench-1"
    second = certificate_of(factory, code="C" * 26)
    assert found(factory, second).name == "bench-1"
    with pytest.raises(AccessError, match="newer"):
        found(factory, first)


@pytest.mark.parametrize("request_", [b"", b"\x30\x00", csr(ed25519.Ed25519PrivateKey.generate())])
def test_a_request_for_another_kind_of_key_leaves_the_code_good(factory: Factory, request_: bytes) -> None:
    invite(factory)
    if request_:
        result = enrol(factory, request=request_)
        assert (isinstance(result, Refused) and result.code) == Code.BAD_REQUEST
    certificate_of(factory)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "owner"}, Code.BAD_REQUEST),
        ({"name": "unit"}, Code.BAD_REQUEST),
        ({"name": ""}, Code.BAD_REQUEST),
        ({"name": "a/b"}, Code.BAD_REQUEST),
        ({"name": "a" * 42}, Code.BAD_REQUEST),
        ({"role": "king"}, Code.BAD_REQUEST),
        ({"hours": 0}, Code.BAD_REQUEST),
        ({"hours": 721}, Code.BAD_REQUEST),
        ({"code": "0" * 63}, Code.BAD_REQUEST),
        ({"name": "bench-1", "role": "owner"}, Code.NAME_TAKEN),
    ],
)
def test_who_cannot_be_invited(factory: Factory, change: dict[str, object], code: str) -> None:
    invite(factory)
    fields: dict[str, object] = {"name": "bench-2", "role": "station", "code": "0" * 64, "hours": 1}
    with factory.refuses(code):
        factory.platform.command(InviteAccount(**{**fields, **change}))  # type: ignore[arg-type]


def test_who_is_suspended_gets_in_by_no_way(factory: Factory) -> None:
    invite(factory)
    certificate = certificate_of(factory)
    invite(factory, code="C" * 26)
    assert factory.platform.command(SuspendAccount(name="bench-1", reason="stolen")) == "suspended"
    with pytest.raises(AccessError, match="suspended"):
        found(factory, certificate)
    result = enrol(factory, code="C" * 26)
    assert (isinstance(result, Refused) and result.code) == Code.NOT_INVITED
    with factory.refuses(Code.WRONG_STATE):
        invite(factory, code="D" * 26)
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(SuspendAccount(name="bench-1", reason="again"))
    assert factory.platform.command(ResumeAccount(name="bench-1", reason="found")) == "active"
    assert found(factory, certificate).name == "bench-1"
    result = enrol(factory, code="C" * 26)
    assert isinstance(result, Refused), "the invitation did not survive the suspension"
    factory.check()


def test_resuming_what_never_enrolled(factory: Factory) -> None:
    invite(factory)
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(ResumeAccount(name="bench-1", reason="?"))
    factory.platform.command(SuspendAccount(name="bench-1", reason="a mistake"))
    assert factory.platform.command(ResumeAccount(name="bench-1", reason="no mistake")) == "invited"
    for command in (SuspendAccount, ResumeAccount):
        with factory.refuses(Code.UNKNOWN_ACCOUNT):
            factory.platform.command(command(name="nobody", reason="?"))


def test_nobody_shuts_themselves_out(factory: Factory) -> None:
    invite(factory, "alice", "owner")
    certificate = certificate_of(factory, "alice")
    ask = Ask(
        actor="alice",
        request_id="1",
        body=b"",
        request=SuspendAccount(name="alice", reason="?"),
        certificate=certificate,
    )
    result = decide(factory, ask).result
    assert (isinstance(result, Refused) and result.code) == Code.WRONG_STATE


def test_a_suspension_holds_inside_the_decision(factory: Factory) -> None:
    """The account was looked up, then suspended, then its request came to its turn."""
    invite(factory)
    certificate = certificate_of(factory)
    factory.platform.command(SuspendAccount(name="bench-1", reason="stolen"))
    size = factory.size()
    ask = Ask(
        actor="bench-1", request_id="1", body=b"", request=ResumeAccount(name="x", reason=""), certificate=certificate
    )
    with pytest.raises(AccessError, match="suspended"):
        decide(factory, ask)
    assert factory.size() == size
