"""The authority in the same process as its station: the embedded default."""

import asyncio

from imprint.authority.decisions.kernel import Ask, Kernel
from imprint.authority.decisions.outcome import Refusal
from imprint.authority.decisions.transaction import Store
from imprint.authority.production.catalogue import Catalogue
from imprint.errors import RefusedError
from imprint.formats.x509 import number_of
from imprint.protocol.answers import Answer
from imprint.protocol.codec import decode_intention, encode_intention
from imprint.protocol.intentions import Intention, KeyOrigin
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
        return self._kernel.answer(await asyncio.wrap_future(self._kernel.submit(ask)))

    async def is_revoked(self, certificate: bytes) -> bool:
        """As :meth:`imprint.protocol.port.AuthorityPort.is_revoked`."""
        number = f"{number_of(certificate):x}"
        with self._store.reading() as store:
            return store.get("revocations", number=number) is not None

    async def lot(self, lot: str) -> LotPackage:
        """As :meth:`imprint.protocol.port.AuthorityPort.lot`."""
        with self._store.reading() as store:
            try:
                pinned = self._catalogue.open_lot(store, lot)
            except Refusal as refusal:
                told = refusal.result
                raise RefusedError(told.message, code=told.code, subject=lot, next_step=told.next_step) from None
            row, product = pinned.row, pinned.product
            return LotPackage(
                lot=lot,
                product=product.name,
                recipe=store.blob(row["recipe"]),
                recipe_name=row["recipe_name"],
                firmware=store.blob(row["firmware"]),
                diagnostic=store.blob(row["diagnostic"]) if row["diagnostic"] else None,
                boot_key=self._boot_key,
                key_algorithm=product.profile.key_algorithm.value,
                key_origin=KeyOrigin(product.profile.key_origin),
                scanned_serials=product.scanned_serials,
                least_grades=product.least_grades(),
            )
