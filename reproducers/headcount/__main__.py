"""`python -m headcount` is `headcount`."""

import sys

from headcount.cli import main

if __name__ == "__main__":
    sys.exit(main())
