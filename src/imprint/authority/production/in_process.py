"""The authority in the same process as its station: the embedded default."""

from imprint.authority.decisions.kernel import Ask, Kernel
from imprint.authority.decisions.transaction import Store
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.package import lot_package
from imprint.encoding import sha256_hex
from imprint.formats.x509 import number_of
from imprint.protocol.answers import Answer
from imprint.protocol.codec import decode_intention, encode_intention
from imprint.protocol.intentions import Intention
from imprint.protocol.port import LotPackage


class InProcessAuthority:
    """:class:`imprint.protocol.port.AuthorityPort` for one station; its name is the actor in the ledger."""

    def __init__(self, *, kernel: Kernel, store: Store, catalogue: Catalogue, boot_key: bytes, station: str) -> None:
        self._kernel = kernel
        self._store = store
        self._catalogue = catalogue
        self._boot_key = boot_key
        self._station = station

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        """As :meth:`imprint.protocol.port.AuthorityPort.ask`."""
        body = encode_intention(intention)
        ask = Ask(actor=self._station, request_id=request_id, body=body, request=decode_intention(body))
        return await self._kernel.ask(ask)

    async def is_valid(self, certificate: bytes) -> bool:
        """As :meth:`imprint.protocol.port.AuthorityPort.is_valid`."""
        number = f"{number_of(certificate):x}"
        with self._store.reading() as store:
            issued = store.get("certificates", number=number, certificate=sha256_hex(certificate))
            return issued is not None and store.get("revocations", number=number) is None

    async def lot(self, lot: str) -> LotPackage:
        """As :meth:`imprint.protocol.port.AuthorityPort.lot`."""
        with self._store.reading() as store:
            return lot_package(store, self._catalogue, lot, boot_key=self._boot_key)
