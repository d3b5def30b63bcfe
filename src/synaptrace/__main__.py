"""`python -m synaptrace`: the command line."""

import sys

from synaptrace.cli import main

sys.exit(main())
