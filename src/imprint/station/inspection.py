"""Looking at a finished unit: what it signs about itself over a fresh challenge, and what its debug port shows."""

import secrets
from dataclasses import dataclass

from imprint.errors import FormatError, UnitFailed, UnitRefused
from imprint.formats.provisioning_group import STATEMENT_CONTEXT, DebugLevel, UnitStatement
from imprint.keys.verify import verify
from imprint.station.runner import bench_beside
from imprint.station.steps.identity_key import certified_key
from imprint.station.targets.bench import Bench
from imprint.station.targets.smp import SmpTarget

NONCE_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a board answered. Nothing in it is proven before :meth:`check_signature`."""

    certificate: bytes | None
    nonce: bytes
    statement: UnitStatement
    encoded: bytes
    signature: bytes
    probed: str | None  # the debug port, as the bench's probe found it; None without a bench port

    @property
    def debug(self) -> str:
        """The debug level by the firmware's own word."""
        return DebugLevel(self.statement.debug).name.lower() if self.statement.debug in set(DebugLevel) else "unknown"

    def check_signature(self, certificate: bytes) -> None:
        """Raise :class:`UnitFailed` unless the key of this certificate signed the statement over our challenge."""
        if self.statement.nonce != self.nonce:
            raise UnitFailed("the statement answers another challenge", subject=self.statement.hw.hex())
        if not verify(certified_key(certificate), STATEMENT_CONTEXT + self.encoded, self.signature):
            raise UnitFailed(
                "the board does not hold the private key of this certificate",
                subject=self.statement.hw.hex(),
                next_step="It is not the unit that it says it is; keep it aside",
            )


async def inspect_unit(port: str, *, baud: int) -> Inspected:
    """Ask the board on this port. Raises :class:`imprint.errors.UnitError` when it does not answer or has no key."""
    target = SmpTarget(port, baud=baud)
    bench_path = bench_beside(port)
    bench = Bench(bench_path) if bench_path else None
    nonce = secrets.token_bytes(NONCE_SIZE)
    try:
        await target.open()
        if bench is not None:
            bench.open()
        proof = await target.prove(nonce)
        return Inspected(
            certificate=await target.certificate(),
            nonce=nonce,
            statement=_decode(proof.statement, port),
            encoded=proof.statement,
            signature=proof.signature,
            probed=(await bench.attach()).name.lower() if bench is not None else None,
        )
    except UnitRefused as problem:
        problem.next_step = problem.next_step or "A board that was never imprinted has no key to prove itself with"
        raise
    finally:
        await target.close()
        if bench is not None:
            bench.close()


def _decode(statement: bytes, port: str) -> UnitStatement:
    try:
        return UnitStatement.decode(statement)
    except FormatError as problem:
        raise UnitFailed(f"the board's signed statement makes no sense: {problem.what}", subject=port) from None
