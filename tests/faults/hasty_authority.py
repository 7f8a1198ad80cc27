"""``imprint`` with a mutant authority: it replies first and commits afterwards. Each sweep must find it out."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future

from imprint.authority.decisions.kernel import Ask, Committed, Kernel
from imprint.cli import main

HASTY = (sys.executable, __file__)
HASTE_S = 0.2  # between the reply and the commit


def settle(kernel: Kernel, batch: Sequence[tuple[Ask, "Future[Committed]"]]) -> None:
    """As the kernel's own, with reply and commit the wrong way round."""
    with kernel._store.writing() as transaction:
        for ask, future in batch:
            future.set_result(kernel._decide(transaction, ask))
        time.sleep(HASTE_S)


if __name__ == "__main__":
    setattr(Kernel, "_settle", settle)  # noqa: B010
    main()
