"""Make the sample catalogue: pins with pictures, boards, a search log, judgments and link pages, all synthetic.

    python data/make_sample.py [--seed N] [--out DIR] [--pins N]      (default: remakes data/sample)

Writes what `sample_maker/writer.py` says. The same seed, number of pins and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script: the packages stand beside this folder
    sys.path.insert(0, str(ROOT))

from data.sample_maker.settings import SampleSettings  # noqa: E402
from data.sample_maker.writer import write_sample  # noqa: E402
from enrich.errors import BadInput  # noqa: E402

DEFAULT_OUT = ROOT / "data" / "sample"


def main() -> int:
    defaults = SampleSettings()
    parser = argparse.ArgumentParser(description="Make the synthetic sample catalogue.")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="names the world (default %(default)s)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to make (default data/sample)")
    parser.add_argument("--pins", type=int, default=defaults.pins, help="how many pins (default %(default)s)")
    arguments = parser.parse_args()
    try:
        write_sample(SampleSettings(seed=arguments.seed, pins=arguments.pins), arguments.out.resolve())
    except BadInput as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 2
    print(f"made {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
