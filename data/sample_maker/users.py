"""The sample catalogue's people: pseudonymous users with a language, a country and an appetite for searching."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from data.sample_maker.chance import choose, stream
from data.sample_maker.pins import LANGUAGE_SHARES

_COUNTRIES = {
    "en": {"US": 0.62, "GB": 0.16, "CA": 0.09, "AU": 0.07, "IN": 0.06},
    "es": {"MX": 0.38, "ES": 0.30, "AR": 0.18, "CO": 0.14},
    "fr": {"FR": 0.74, "CA": 0.14, "BE": 0.12},
    "de": {"DE": 0.78, "AT": 0.13, "CH": 0.09},
    "pt": {"BR": 0.85, "PT": 0.15},
    "ja": {"JP": 1.0},
}


class User(NamedTuple):
    user_hash: str
    lang: str
    country: str
    activity: float


def make_users(seed: int, n: int) -> list[User]:
    """`n` users; a few search far more than most."""
    rng = stream(seed, "users")
    users = []
    for i in range(n):
        lang = choose(rng, list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))
        country = choose(rng, list(_COUNTRIES[lang]), list(_COUNTRIES[lang].values()))
        name = hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=8).hexdigest()
        users.append(User(name, lang, country, float(rng.pareto(2.5) + 0.3)))
    return users
