"""The driver for units that speak SMP (MCUmgr/Zephyr) with the provisioning group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from smp.error import MGMT_ERR
from smp.settings_management import SETTINGS_MGMT_ERR
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import ResetWrite
from smpclient.requests.settings_management import ReadSetting, SaveSettings, WriteSetting

from imprint.errors import UnitError, UnitFailed, UnitSilent
from imprint.formats.provisioning_group import PROTOCOL_VERSION, DebugLevel, KeyAlgorithm, Mode, ProvisioningErr
from imprint.station.targets import certificate_transfer, image_upload, requests
from imprint.station.targets.serial_link import SerialLink
from imprint.station.targets.serial_port import SerialPort
from imprint.station.targets.smp_exchange import WORK_PATIENCE_S, SmpExchange, printable, refusal
from imprint.station.targets.target import Counters, Identity, ImageSlot, Progress, Proof, SelfTest

_OPEN_S: Final = 2.0
_BOOT_S: Final = 30.0
_BOOT_POLL_S: Final = 0.02
_BOOT_PATIENCE_S: Final = (0.5,)


class SmpTarget:
    """A unit on a serial line. Implements :class:`imprint.station.targets.target.Target`."""

    def __init__(self, path: str, *, baud: int) -> None:
        self._line: Final = SmpExchange(SerialLink(SerialPort(path, baud=baud)), name=path)

    async def open(self) -> None:
        """Open the port and learn the frame size."""
        await self._line.open(_OPEN_S)
        await self._line.learn_buffer_size()

    async def close(self) -> None:
        """Give the port back."""
        await self._line.close()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[None]:
        """Close the port for another program, and open it again afterwards."""
        await self._line.close()
        try:
            yield
        finally:
            await self._line.open(_OPEN_S)

    async def identify(self) -> Identity:
        """Who are you?"""
        return await self._identify(patient=True)

    async def _identify(self, *, patient: bool) -> Identity:
        request = requests.Identify()
        answer = await (self._line.ask(request) if patient else self._line.ask(request, patience_s=_BOOT_PATIENCE_S))
        if answer.v != PROTOCOL_VERSION or not 4 <= len(answer.hw) <= 32 or answer.mode not in set(Mode):
            raise self._nonsense("the identity is not one that this version knows")
        return Identity(
            hardware_id=answer.hw.hex(),
            part=printable(answer.part),
            mode=Mode(answer.mode),
            boots=answer.boots,
            boot_error=printable(answer.boot_error),
        )

    async def public_key(self) -> bytes | None:
        """The identity key's SubjectPublicKeyInfo, or None."""
        request = requests.KeyRead()
        answer = await self._line.try_ask(request)
        if success(answer):
            return answer.pub
        if _code(answer) == ProvisioningErr.NO_KEY:
            return None
        raise refusal(answer, request, self._line.name)

    async def make_key(self, algorithm: KeyAlgorithm) -> bytes:
        """Make the identity key, or keep the one that is there."""
        answer = await self._line.ask(requests.KeyWrite(alg=algorithm), patience_s=WORK_PATIENCE_S)
        if answer.alg != algorithm:
            raise self._nonsense(f"the identity key is of algorithm {answer.alg}, not {algorithm.name}")
        return answer.pub

    async def csr(self) -> bytes:
        """A PKCS#10 request."""
        return (await self._line.ask(requests.Csr(), patience_s=WORK_PATIENCE_S)).csr

    async def certificate(self) -> bytes | None:
        """The stored certificate, or None."""
        return await certificate_transfer.read(self._line)

    async def write_certificate(self, certificate: bytes) -> None:
        """Store a certificate."""
        await certificate_transfer.write(self._line, certificate)

    async def boot_key(self) -> bytes | None:
        """The fuses' hash, or None while they are blank."""
        return (await self._line.ask(requests.BootKeyRead())).hash or None

    async def fuse_boot_key(self, spki: bytes) -> None:
        """Burn the fuses."""
        await self._line.ask(requests.BootKeyWrite(pub=spki), patience_s=WORK_PATIENCE_S)

    async def debug_level(self) -> DebugLevel:
        """The level as the firmware sees it."""
        return self._level((await self._line.ask(requests.DebugRead())).level)

    async def lock_debug(self) -> DebugLevel:
        """Close the debug port."""
        request = requests.DebugWrite(level=DebugLevel.LOCKED)
        return self._level((await self._line.ask(request, patience_s=WORK_PATIENCE_S)).level)

    async def counters(self) -> Counters:
        """The counters."""
        answer = await self._line.ask(requests.CountersRead())
        return Counters(session=answer.session, monotonic=answer.monotonic, security=answer.security)

    async def prove(self, nonce: bytes) -> Proof:
        """A signed statement."""
        answer = await self._line.ask(requests.Prove(nonce=nonce), patience_s=WORK_PATIENCE_S)
        return Proof(statement=answer.statement, signature=answer.sig)

    async def self_test(self) -> SelfTest:
        """The firmware's own test."""
        answer = await self._line.ask(requests.RunSelfTest(), patience_s=WORK_PATIENCE_S)
        return SelfTest(passed=answer.ok, values=answer.values)

    async def setting(self, name: str) -> bytes | None:
        """A stored setting, or None."""
        request = ReadSetting(name=name)
        answer = await self._line.try_ask(request)
        if success(answer):
            return answer.val
        if _code(answer) in (SETTINGS_MGMT_ERR.KEY_NOT_FOUND, SETTINGS_MGMT_ERR.ROOT_KEY_NOT_FOUND):
            return None
        raise refusal(answer, request, self._line.name)

    async def write_setting(self, name: str, value: bytes) -> None:
        """Set a value."""
        await self._line.ask(WriteSetting(name=name, val=value))

    async def save_settings(self) -> None:
        """Store the settings."""
        request = SaveSettings()
        answer = await self._line.try_ask(request, patience_s=WORK_PATIENCE_S)
        if not success(answer) and getattr(answer, "rc", None) != MGMT_ERR.ENOTSUP:
            raise refusal(answer, request, self._line.name)  # without the command, a unit stores what it is sent

    async def images(self) -> tuple[ImageSlot, ...]:
        """The image slots."""
        answer = await self._line.ask(ImageStatesRead())
        return tuple(
            ImageSlot(
                slot=state.slot,
                hash=bytes(state.hash or b""),
                version=printable(state.version),
                active=bool(state.active),
                pending=bool(state.pending),
                confirmed=bool(state.confirmed),
            )
            for state in answer.images
        )

    async def upload(self, image: bytes, progress: Progress) -> None:
        """Send an image."""
        await image_upload.upload(self._line, image, progress)

    async def mark_pending(self, image_hash: bytes) -> None:
        """Boot this image next."""
        await self._line.ask(ImageStatesWrite(hash=image_hash, confirm=False), patience_s=WORK_PATIENCE_S)

    async def confirm(self, image_hash: bytes) -> None:
        """Keep the running image."""
        await self._line.ask(ImageStatesWrite(hash=image_hash, confirm=True), patience_s=WORK_PATIENCE_S)

    async def reset(self) -> None:
        """Restart the unit."""
        await self._line.ask(ResetWrite())

    async def await_boot(self, boots: int) -> Identity:
        """Wait for the next boot. The port may vanish meanwhile, as a USB port does, and is opened again."""
        try:
            async with asyncio.timeout(_BOOT_S):
                while True:
                    try:
                        identity = await self._identify(patient=False)
                        if identity.boots > boots:
                            await self._line.learn_buffer_size()  # another program runs now, perhaps with another
                            return identity
                        await asyncio.sleep(_BOOT_POLL_S)
                    except UnitSilent:
                        await self._line.open(_BOOT_S)
        except TimeoutError:
            raise UnitSilent(
                f"the unit did not come back within {_BOOT_S:.0f} s of a restart", subject=self._line.name
            ) from None

    def _level(self, level: int) -> DebugLevel:
        if level not in set(DebugLevel):
            raise self._nonsense(f"debug level {level} is not known")
        return DebugLevel(level)

    def _nonsense(self, what: str) -> UnitError:
        return UnitFailed(what, subject=self._line.name, next_step="Check that the firmware speaks this version")


def _code(answer: object) -> int | None:
    return getattr(getattr(answer, "err", None), "rc", None)
