"""What each experiment is called and asks; a module without torch, so that the command line can offer them."""

from __future__ import annotations

from enum import StrEnum


class Name(StrEnum):
    ENCODERS = "encoders"
    ABLATION = "ablation"
    LABEL_BUDGET = "label-budget"
    LATENCY = "latency"
    TRANSFER = "transfer"
    NOISE = "noise"
    ROBUSTNESS = "robustness"
    STABILITY = "stability"
    OPTIONS = "options"

    @property
    def question(self) -> str:
        return _QUESTIONS[self]


_QUESTIONS = {
    Name.ENCODERS: "What is reading query and pin together worth, against embedding them apart and words alone?",
    Name.ABLATION: "What is each text field worth, to the teacher and to the student, and what does it cost?",
    Name.LABEL_BUDGET: "How good does the student get with more labels, of people and of the teacher?",
    Name.LATENCY: "What accuracy does a millisecond buy?",
    Name.TRANSFER: "How good are the models in languages that nobody judged, and do teacher labels carry them there?",
    Name.NOISE: "What do wrong labels and missing annotators cost, and what wins some of it back?",
    Name.ROBUSTNESS: "Which damage to which text breaks which model?",
    Name.STABILITY: "Whom does the teacher favour, how steady is it, and what of that reaches the student?",
    Name.OPTIONS: "Which options of teaching earn their keep?",
}
