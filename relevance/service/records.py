"""The requests and answers of the HTTP service, as OpenAPI shows them (GET /openapi.json)."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from relevance.pin_rows import INPUTS
from relevance.ranking import RankSettings, RatesOf, UtilityWeights
from relevance.service.settings import MAX_DEADLINE_MS, MAX_PINS, MAX_QUERY_CHARACTERS

MAX_TAUGHT_PINS = 50  # of one question to the teacher, which takes 10 ms a pin
MAX_CARDS = 200  # of one page


def _encodable(text: str) -> str:
    """JSON may escape half a surrogate pair, which no store and no answer can hold."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("expected text without lone surrogates")
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Query = Annotated[Text, Field(max_length=MAX_QUERY_CHARACTERS, examples=["blue velvet armchair"])]
PinId = Annotated[Text, Field(min_length=1, max_length=1_024, examples=["255529192"])]
PinIds = Annotated[list[PinId], Field(max_length=MAX_PINS, examples=[["255529192", "857308255"]])]
Weight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Deadline = Annotated[int | None, Field(ge=1, le=MAX_DEADLINE_MS, description="ms; of the service where absent")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScoreRequest(_Request):
    query: Query
    pin_ids: PinIds
    deadline_ms: Deadline = None


class Weights(_Request):
    """Of the utility; see relevance/ranking.py. One that is not given is as tuned for the workspace, else the usual."""

    relevance: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    click: Weight | None = None
    long_click: Weight | None = None
    save: Weight | None = None
    hide: Weight | None = None
    caller: Weight | None = None

    def over(self, usual: UtilityWeights) -> UtilityWeights:
        return replace(usual, **self.model_dump(exclude_none=True))


class UsedWeights(BaseModel):
    """Of the utility, all of them."""

    relevance: float
    click: float
    long_click: float
    save: float
    hide: float
    caller: float


Floor = Annotated[float | None, Field(ge=1, le=5, description="level below which a pin is not ranked")]


class RankRequest(_Request):
    query: Query
    pin_ids: PinIds | None = Field(default=None, description="absent: the service finds candidates")
    engagement: Annotated[list[Weight] | None, Field(max_length=MAX_PINS)] = Field(
        default=None, description="the caller's predictions, one a pin, instead of the built-in rates"
    )
    weights: Weights | None = Field(default=None, description="absent: as tuned for the workspace, else the usual")
    floor: Floor = None
    limit: Annotated[int, Field(ge=1, le=MAX_PINS)] = 200
    deadline_ms: Deadline = None

    def settings(self, usual: RankSettings) -> RankSettings:
        weights = usual.weights if self.weights is None else self.weights.over(usual.weights)
        return RankSettings(weights, usual.floor if self.floor is None else self.floor)


class ExplainRequest(_Request):
    query: Query
    pin_id: PinId


class TeacherRequest(_Request):
    query: Query
    pin_ids: Annotated[list[PinId], Field(max_length=MAX_TAUGHT_PINS, examples=[["255529192"]])]


class Order(StrEnum):
    UTILITY = "utility"
    RELEVANCE = "relevance"
    ENGAGEMENT = "engagement"


def _input(name: str) -> str:
    if name not in INPUTS:
        raise ValueError(f"expected one of {', '.join(INPUTS)}, found {name!r}")
    return name


InputName = Annotated[str, AfterValidator(_input), WithJsonSchema({"type": "string", "enum": [*INPUTS]})]


class InspectRequest(_Request):
    """Candidates as cards, for the inspector page."""

    query: Query
    pin_ids: PinIds | None = None
    weights: Weights | None = None
    floor: Floor = None
    order: Order = Order.UTILITY
    lang: Annotated[Text | None, Field(max_length=8, examples=["en"])] = None
    has: InputName | None = Field(default=None, description="an input that must be there")
    lacks: InputName | None = Field(default=None, description="an input that must be absent")
    limit: Annotated[int, Field(ge=1, le=MAX_CARDS)] = 48

    def settings(self, usual: RankSettings) -> RankSettings:
        return RankRequest(query="", weights=self.weights, floor=self.floor).settings(usual)


Five = tuple[float, float, float, float, float]


class Problem(BaseModel):
    """Every answer that is not 2xx."""

    error: str = Field(examples=["body.pin_ids: Field required"], description="one line")


class Scored(BaseModel):
    pin_id: str
    probabilities: Five = Field(description="of levels 1..5", examples=[[0.02, 0.03, 0.05, 0.2, 0.7]])
    relevance: float = Field(description="expected level, 1..5", examples=[4.53])
    missing: list[str] = Field(description="inputs that it had to do without", examples=[["description", "pair"]])


_DEGRADED = (
    "whether the store was lost, emptied or never loaded, or holds vectors of another text encoder, a pin or the query "
    "was damaged there, the query's vector not to be had, or time too short"
)


class _Answer(BaseModel):
    request_id: str
    query: str
    model: str = Field(description="fingerprint of the student that answers")
    degraded: bool = Field(description=_DEGRADED)
    partial: bool = Field(description="whether the deadline left pins without a score of their own")


class ScoreAnswer(_Answer):
    pins: list[Scored] = Field(description="in the order asked")


class Rates(BaseModel):
    """Smoothed, per impression."""

    click: float
    long_click: float
    save: float
    hide: float


class Ranked(Scored):
    rank: int
    engagement: float = Field(description="the utility's second part")
    utility: float
    guarded: bool = Field(description="held below the pins of level 4 and 5")
    rates: Rates
    rates_of: RatesOf = Field(description="the pair's own, the pin's over all queries, or the candidates' mean")


class RankAnswer(_Answer):
    pins: list[Ranked] = Field(description="best first, at most `limit`")
    below_floor: int = Field(description="pins not ranked")


class FieldText(BaseModel):
    field: str
    texts: list[str]
    matched: list[str] = Field(default=[], description="terms of the query that stand in it")


class PinCard(BaseModel):
    """What the catalogue says of a pin."""

    pin_id: str
    lang: str | None
    link_url: str | None
    image: str | None = Field(description="path of its picture on this service")
    texts: list[FieldText]
    unread: bool = Field(default=False, description="whether the catalogue could not be read: the card is empty")


class Fact(BaseModel):
    """Where a pin's values came from."""

    table: str
    event_timestamp: str | None
    producer: str | None
    reason: str | None = Field(description="why there are none")


class PinAnswer(PinCard):
    served: bool = Field(description="whether the online store holds it")
    facts: list[Fact]


class Effect(BaseModel):
    input: str
    effect: float = Field(
        description="levels; exact Shapley value. Title, description and caption share one set of trigrams, which goes "
        "with the last of them: what it does is split among those that the pin has"
    )


class NumberEffect(BaseModel):
    name: str
    value: float
    usual: float = Field(description="the mean in training")
    effect: float = Field(description="levels that the usual value would take away")


class ExplainAnswer(_Answer):
    pin: Scored
    bare: float = Field(description="expected level of a pin without any input; bare + effects = relevance")
    inputs: list[Effect]
    numbers: list[NumberEffect]
    texts: list[FieldText]


class InspectedPin(Ranked):
    card: PinCard
    pin_lang: str | None


class InspectAnswer(_Answer):
    candidates: int
    below_floor: int
    shown: int = Field(description="candidates that passed the filters, of which `limit` are cards")
    langs: list[str] = Field(description="languages of the candidates")
    weights: UsedWeights
    floor: float
    pins: list[InspectedPin]


class Taught(BaseModel):
    pin_id: str
    probabilities: Five
    relevance: float


class TeacherAnswer(BaseModel):
    query: str
    model: str
    pins: list[Taught]


class Readiness(BaseModel):
    """Whether the store answers, and the versions of all that an answer follows from."""

    status: Literal["ready", "degraded"]
    reasons: list[str] = Field(description="what is wrong; some of it, as a model file that cannot be read, harms none")
    model: str = Field(description="fingerprint of the student")
    features: str | None = Field(description="fingerprint of the feature service that is read")
    shadow: str | None = Field(description="fingerprint of the student that runs in the shadow")
    corkboard: str
