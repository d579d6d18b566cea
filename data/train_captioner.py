"""Train the small captioner that ships with the sample, a BLIP of a few million weights, on rendered scenes.

    python -m data.train_captioner [--steps N] [--out DIR] [--work DIR]      (default: remakes data/models/captioner)

Reads nothing. Writes the checkpoint, its tokenizer, its processor, metrics.json and the model card to --out, and the
training's own state to --work, from which a killed run goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data.captioner.settings import TrainingSettings
from data.captioner.training import train

REPOSITORY = Path(__file__).resolve().parent.parent
OUT = REPOSITORY / "data" / "models" / "captioner"
WORK = REPOSITORY / "build" / "captioner"


def main() -> None:
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(description="Train the sample's captioner on rendered scenes.")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="updates (default %(default)s)")
    parser.add_argument("--threads", type=int, default=defaults.threads, help="processor threads (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the checkpoint goes")
    parser.add_argument("--work", type=Path, default=WORK, help="where the training's own state goes")
    arguments = parser.parse_args()
    settings = TrainingSettings(steps=arguments.steps, threads=arguments.threads)
    print(train(settings, arguments.out, arguments.work))


if __name__ == "__main__":
    main()
