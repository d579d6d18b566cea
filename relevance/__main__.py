"""`python -m relevance` is the `relevance` command."""

import sys

from relevance.cli import main

sys.exit(main())
