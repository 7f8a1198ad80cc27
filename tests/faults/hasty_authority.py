"""``imprint`` with a mutant authority: it replies first and commits afterwards. Each sweep must find it out."""

import sys
import threading
import time
from collections.abc import Sequence

from imprint.authority.decisions.kernel import Ask, Committed, Kernel
from imprint.cli import main

HASTY = (sys.executable, __file__)
HASTE_S = 0.2  # between the reply and the commit


_committing: list[threading.Thread] = []


def decide_together(kernel: Kernel, asks: Sequence[Ask]) -> list[Committed | BaseException]:
    """As the kernel's own, with reply and commit the wrong way round."""
    found: list[Committed | BaseException] = []
    replied = threading.Event()

    def work() -> None:
        with kernel._store.writing() as transaction:
            found.extend(kernel._decide(transaction, ask) for ask in asks)
            replied.set()
            time.sleep(HASTE_S)

    while _committing:
        _committing.pop().join()
    _committing.append(threading.Thread(target=work))
    _committing[0].start()
    replied.wait()
    return found


if __name__ == "__main__":
    setattr(Kernel, "decide_together", decide_together)  # noqa: B010
    main()
