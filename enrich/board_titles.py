"""One board title: its readable text, the key under which its near-duplicates meet, and whether it says anything.

Pure functions over one title; `boards.py` applies them to each distinct title once.
"""

from __future__ import annotations

from typing import NamedTuple

from enrich.normalise import terms
from enrich.privacy import scrub

MAX_CHARACTERS = 100  # of a title; longer ones are cut
GENERIC = "generic-title"

# English, Spanish, French, German, Portuguese, Italian, with accents folded as `terms` folds them: a title of these
# words alone says nothing of its pins.
_WORDS = """
a all and any board boards bookmark bookmarks collection collections etc everything fav fave faves favorite favorites
favourite favourites fun general i idea ideas inspiration inspo interesting item items just later like liked likes list
lists love loved me mine misc miscellaneous mix mixed more my new nice nope ok other others pic pics picture pictures
pin pinned pinning pins pinterest random read save saved saves secret some sort stuff temp test the thing things tmp to
untitled unsorted various want wants wish wishlist yes your
cosa cosas de el favorita favoritas favorito favoritos guardado guardados gusta gustan las los mi mis otra otras otro
otros pines que quiero tablero tableros todo todos un una varias varios y
affaires aime autre autres choses coup coups des divers diverses en epingle epingles favori favoris idee idees j je la
le les liste ma mes mon plus tableau tableaux tout truc trucs une vrac
allerlei alles andere anderes dies das dinge diverses eigene favorit favoriten gemerkt gemischt gespeichert ich ideen
kram lieblinge mein meine meins merkliste pinnwand pinnwande sachen sammlung sonstiges und verschiedenes zeug
as coisa coisas curti e favoritos gosto ideias meu meus minha minhas os outra outras outro outros pinos quadro quadros
salvo salvos tudo variado variados
altro bacheca bacheche cose di il io mia mie miei mio piace preferiti roba salvati tutto varie
"""
# Japanese is written without spaces, so whole titles: pins, likes, favourites, other, various, saved, memo, unsorted.
_TITLES = """
マイピン ピン 好き 好きなもの すき お気に入り おきにいり その他 そのほか いろいろ 色々 保存 保存用 メモ 未分類 アイデア
アイディア ボード マイボード 私の 私のピン 気になる 気になるもの まとめ 雑多
"""
_GENERIC_WORDS = frozenset(_WORDS.split())
_GENERIC_TITLES = frozenset(_TITLES.split())


class BoardTitle(NamedTuple):
    """What is made of one title."""

    text: str  # as written, without private pieces
    words: tuple[str, ...]  # its distinct terms, sorted; empty where it was dropped
    dropped: tuple[str, ...]  # why: generic, or the kinds of private pieces that were taken out

    @property
    def key(self) -> str:
        """Equal for titles that differ in case, accents, symbols or word order alone."""
        return " ".join(self.words)


def read_title(raw: str) -> BoardTitle:
    """A title's text and words; no words where it is generic or nothing is left of it."""
    scrubbed = scrub(raw[: 4 * MAX_CHARACTERS])
    text = scrubbed.text[:MAX_CHARACTERS].strip()
    words = tuple(sorted(set(terms(text))))
    if is_generic(text, words):
        return BoardTitle(text, (), (*scrubbed.reasons, GENERIC))
    return BoardTitle(text, words, scrubbed.reasons)


def is_generic(text: str, words: tuple[str, ...]) -> bool:
    """Whether nothing but generic words, numbers and symbols is in the title."""
    if "".join(filter(str.isalnum, text)) in _GENERIC_TITLES:
        return True
    return all(word in _GENERIC_WORDS or word.isnumeric() or (len(word) == 1 and word.isascii()) for word in words)
