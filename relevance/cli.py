"""The `relevance` command: features in, graded models, scores and reports out.

relevance run                                       what is stale: train-teacher, label, train-student, evaluate
relevance train-teacher|label|train-student         one stage, for every fold
relevance export-student                            the student as an ONNX graph
relevance evaluate                                  every model on held-out judged pairs: a report
relevance score --query Q --pins ID ...             five probabilities and an expected level a pin
relevance rank --query Q                            the catalogue's best pins, relevance with engagement
relevance serve                                     the same over HTTP, with a page to look at it
relevance tune-ranking                              the ranking's weights, chosen on what was logged
relevance replay                                    logged requests computed again: are they the same?
relevance agreement                                 the people who judged: how far they agree, each one's bias
relevance audit                                     pairs where a person's time is worth most; their labels read back
relevance export trec|beir|hf DIR                   judged pairs, runs and models as other tools read them
relevance abtest [LOG]                              an online experiment: what its arms changed, how sure that is
relevance experiment NAME                           encoders, ablation, label-budget, latency, transfer, noise, ...
relevance frame                                     a training frame, its coverage, what a careless join would leak
"""

from __future__ import annotations

import click

from enrich import console
from relevance.commands import abtest, annotators, audit, experiments, export, frame, scoring, serving, stages, tuning

_SETTINGS = {"max_content_width": 110, "help_option_names": ["-h", "--help"]}
_COMMANDS = (
    *(stages.run, stages.train_teacher, stages.label, stages.train_student),
    *(stages.export_student, stages.evaluate),
    *(scoring.score, scoring.rank, serving.serve, scoring.replay, tuning.tune_ranking),
    frame.frame,
    annotators.agreement,
    audit.audit,
    export.export,
    abtest.abtest,
    experiments.experiment,
)


@click.group(context_settings=_SETTINGS)
def relevance() -> None:
    """Train, judge and serve search relevance on the feature store."""


for _command in _COMMANDS:
    relevance.add_command(_command)


def main() -> int:
    """Entry point; returns the exit status."""
    return console.run(relevance)
