"""``python -m imprint`` is ``imprint``."""

from imprint.cli import main

if __name__ == "__main__":
    main()
