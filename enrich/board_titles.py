"""One board title: its readable text, the key under which its near-duplicates meet, and whether it says anything.

Pure functions over one title; `boards.py` applies them to each distinct title once.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import regex

from enrich.normalise import terms
from enrich.privacy import scrub

MAX_CHARACTERS = 100  # of a title; longer ones are cut
GENERIC = "generic-title"

# English, Spanish, French, German, Portuguese, Italian, Russian, Korean, Arabic, Hindi: a title of these words alone
# says nothing of its pins.
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
мои мой моя мое пины пин доска разное разные всякое все прочее другое избранное любимое интересное сохраненное идеи
내 나의 핀 핀들 보드 저장 저장한 기타 좋아하는 좋아요 즐겨찾기 관심 모음 잡다한 이것저것 아이디어 것들
متنوع متنوعة منوعات اخرى أخرى عام عامة اشياء أشياء المفضلة مفضلتي مفضلة محفوظات المحفوظات لوحتي لوحة صوري
صور افكار أفكار
मेरा मेरे मेरी पिन पिन्स पसंद पसंदीदा अन्य विविध सब कुछ चीज़ें चीजें बोर्ड सेव विचार मिश्रित सामान्य
"""
# Japanese, Chinese and Thai are written without spaces, so whole titles: pins, likes, favourites, other, various,
# saved, memo, unsorted, ideas.
_TITLES = """
マイピン ピン 好き 好きなもの すき お気に入り おきにいり その他 そのほか いろいろ 色々 保存 保存用 メモ 未分類 アイデア
アイディア ボード マイボード 私の 私のピン 気になる 気になるもの まとめ 雑多
我的 我的图钉 我的圖釘 收藏 我的收藏 收藏夹 我的收藏夹 收藏夾 我的收藏夾 默认收藏夹 其他 其它
杂项 雜項 杂七杂八 未分类 未分類 灵感 靈感 喜欢
喜歡 我喜欢的 我喜歡的 全部 图片 圖片 随便 隨便 默认 預設
อื่นๆ ของฉัน พินของฉัน บอร์ดของฉัน ชอบ ที่ชอบ รายการโปรด ทั่วไป บันทึก ที่บันทึกไว้ ไอเดีย เบ็ดเตล็ด ทุกอย่าง
"""
# What one word is written with or without: Arabic and Hebrew vowel signs, tatweel, Devanagari's nukta.
_OPTIONAL = regex.compile(r"[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640\u093c]")
_VARIANTS = str.maketrans("أإآٱىة", "اااايه")  # Arabic letters that are typed one for another
# Words of one letter and a sign, which terms() would leave the bare letter of: C++, C#, D&D.
_SIGNED = regex.compile(r"(?<![\p{L}\p{N}])[A-Za-z](?:\+\+|#|\s?&\s?[A-Za-z])(?![\p{L}\p{N}])")


def _words(text: str) -> list[str]:
    """The text's terms without the signs and variants that one writer uses and another leaves out."""
    composed = unicodedata.normalize("NFKC", text)
    signed = ["".join(word.lower().split()) for word in _SIGNED.findall(composed)]
    folded = (_OPTIONAL.sub("", term).translate(_VARIANTS) for term in terms(_SIGNED.sub(" ", composed)))
    return [*signed, *(term for term in folded if term)]


def _letters(text: str) -> str:
    """The letters and digits alone, lower case: what is left of a title without marks and symbols."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


_GENERIC_WORDS = frozenset(_words(_WORDS))
_GENERIC_TITLES = frozenset(map(_letters, _TITLES.split()))


class BoardTitle(NamedTuple):
    """What is made of one title."""

    text: str  # as written, without private pieces
    words: tuple[str, ...]  # its distinct terms, sorted; empty where it was dropped
    dropped: tuple[str, ...]  # why: generic, or the kinds of private pieces that were taken out

    @property
    def key(self) -> str:
        """Equal for titles that differ in case, accents, vowel signs, symbols or word order alone."""
        return " ".join(self.words)


def read_title(raw: str) -> BoardTitle:
    """A title's text and words; no words where it is generic or only private pieces were in it."""
    scrubbed = scrub(raw)  # whole, for what is cut in two is not known again
    text = "".join(regex.findall(r"\X", scrubbed.text)[:MAX_CHARACTERS]).strip()  # no letter cut from its marks
    words = tuple(sorted(set(_words(text))))
    if scrubbed.reasons and not words:
        return BoardTitle(text, (), scrubbed.reasons)
    if is_generic(text, words):
        return BoardTitle(text, (), (*scrubbed.reasons, GENERIC))
    return BoardTitle(text, words, scrubbed.reasons)


def is_generic(text: str, words: tuple[str, ...]) -> bool:
    """Whether nothing but generic words, numbers and symbols is in the title."""
    if _letters(text) in _GENERIC_TITLES:
        return True
    return all(word in _GENERIC_WORDS or word.isnumeric() or (len(word) == 1 and word.isascii()) for word in words)
