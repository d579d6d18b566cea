"""From a page's bytes to its text: which charset, by which evidence.

The order, and why it is not the standard's (HTTP header, meta, guess):

1. a byte order mark, which nothing else starts with;
2. ISO-2022-JP and UTF-16 without a mark, by their own signs, since their bytes also pass for other charsets;
3. strict UTF-8: a long text of another charset is practically never valid UTF-8, while headers and meta tags are often
   left over from a template;
4. the charset that the HTTP header names, then the one that the page names, if the bytes fit it;
5. UTF-8 with a few broken bytes, as a cut or a mixed page has them;
6. detection by charset-normalizer on the words alone, markup and scripts left out.

Whatever remains undecodable becomes U+FFFD. Labels are those of the WHATWG encoding standard, and mean what browsers
take them for (`iso-8859-1` is windows-1252). No label reaches a codec that is not in the table below.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from charset_normalizer import CharsetMatch, from_bytes

_SUPERSET = {  # Python's name of what a label asks for -> (codec to decode with, label to report)
    "utf-8": ("utf-8", "utf-8"),
    "ascii": ("cp1252", "windows-1252"),
    "iso8859-1": ("cp1252", "windows-1252"),
    "cp1252": ("cp1252", "windows-1252"),
    "iso8859-9": ("cp1254", "windows-1254"),
    "cp1254": ("cp1254", "windows-1254"),
    "shift_jis": ("cp932", "shift_jis"),
    "cp932": ("cp932", "shift_jis"),
    "euc_jp": ("euc_jis_2004", "euc-jp"),
    "iso2022_jp": ("iso2022_jp_ext", "iso-2022-jp"),
    "gb2312": ("gb18030", "gb18030"),
    "gbk": ("gb18030", "gb18030"),
    "gb18030": ("gb18030", "gb18030"),
    "big5": ("big5hkscs", "big5"),
    "big5hkscs": ("big5hkscs", "big5"),
    "euc_kr": ("cp949", "euc-kr"),
    "cp949": ("cp949", "euc-kr"),
    "tis-620": ("cp874", "windows-874"),
    "iso8859-11": ("cp874", "windows-874"),
    "cp874": ("cp874", "windows-874"),
    "koi8-r": ("koi8-r", "koi8-r"),
    "koi8-u": ("koi8-u", "koi8-u"),
    "cp866": ("cp866", "ibm866"),
    "mac-roman": ("mac-roman", "macintosh"),
    "mac-cyrillic": ("mac-cyrillic", "x-mac-cyrillic"),
    "utf-16": ("utf-16-le", "utf-16le"),
    "utf-16-le": ("utf-16-le", "utf-16le"),
    "utf-16-be": ("utf-16-be", "utf-16be"),
    **{f"iso8859-{n}": (f"iso8859-{n}", f"iso-8859-{n}") for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"cp125{n}": (f"cp125{n}", f"windows-125{n}") for n in (0, 1, 3, 5, 6, 7, 8)},
}
_ALIASES = {  # labels of the standard that Python does not know -> one that it does; a leading x- is dropped before
    **{f"iso8859{n}": f"iso8859-{n}" for n in range(1, 17)},
    **dict.fromkeys(("unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8"), "utf-8"),
    **dict.fromkeys(("iso-8859-6-e", "iso-8859-6-i", "csiso88596e", "csiso88596i"), "iso8859-6"),
    **dict.fromkeys(("iso-8859-8-e", "iso-8859-8-i", "csiso88598e", "csiso88598i", "logical", "visual"), "iso8859-8"),
    **dict.fromkeys(("csgb2312", "gb_2312", "gb_2312-80"), "gb2312"),
    **dict.fromkeys(("cseuckr", "csksc56011987", "iso-ir-149", "ks_c_5601-1989", "ksc_5601", "windows-949"), "cp949"),
    **{"sun_eu_greek": "iso8859-7", "csisolatin9": "iso8859-15", "dos-874": "cp874", "windows-874": "cp874"},
    **{"koi": "koi8-r", "koi8": "koi8-r", "koi8-ru": "koi8-u", "cn-big5": "big5", "windows-31j": "cp932"},
    **{"mac": "mac-roman", "csmacintosh": "mac-roman", "mac-ukrainian": "mac-cyrillic"},
    "cseucpkdfmtjapanese": "euc_jp",
}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<(?:meta|\?xml)\b[^>]{0,400}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]|\x1b\([BJI]")
_CODE = re.compile(rb"<[^<>]{0,4000}>|[\s\d&;]+")  # tags and what scripts are made of, linear in any input

_DECLARED_WITHIN = 4096  # bytes; the standard looks at 1024
# What detection may answer, the commoner on the web first: where two read equally well, the commoner is meant.
_DETECTABLE = (
    *("cp1252", "cp1251", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp1250", "cp1254", "cp1253", "cp1256"),
    *("cp1255", "koi8_r", "koi8_u", "cp874", "cp1257", "iso8859_2", "iso8859_5", "iso8859_7", "cp866"),
)
# What a page in a language is in when it does not say: the encoding standard's table of fallbacks by locale.
_OF_LANGUAGE = {
    **dict.fromkeys(("cs", "hu", "pl", "sk", "sl", "hr"), "cp1250"),
    **dict.fromkeys(("be", "bg", "ky", "mk", "ru", "sr", "tg", "tt", "uk"), "cp1251"),
    **dict.fromkeys(("ar", "fa"), "cp1256"),
    **dict.fromkeys(("tr", "az", "ku"), "cp1254"),
    **dict.fromkeys(("et", "lt", "lv"), "cp1257"),
    **{"el": "cp1253", "he": "cp1255", "ja": "cp932", "ko": "euc_kr", "th": "cp874", "vi": "cp1258", "zh": "gb18030"},
}
_LANGUAGE = re.compile(rb"<html\b[^>]{0,400}?\blang\s*=\s*[\"']?\s*([a-z]{2})", re.I)
_CHAOS, _COHERENCE = 0.02, 0.1  # differences of charset-normalizer's scores below which two readings are as good
_MAX_BAD_SHARE = 0.02  # of the non-ASCII characters, for a charset to be believed of bytes that do not quite fit it
_MAX_BAD_SHARE_DECLARED = 0.25  # the same for UTF-8 that the page claims: parts of it may come from elsewhere
_DETECTED_BYTES = 4_000  # of words given to detection
_TELLING_BYTES = 200  # of words with non-ASCII characters, for these to suffice without the words around them
_EXAMINED_BYTES = 400_000  # looked through for such words


class Decoded(NamedTuple):
    text: str
    charset: str  # WHATWG name


def decode(raw: bytes, content_type: str | None = None) -> Decoded:
    """The text of a page, by the order above. Any bytes have one; never raises."""
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return _read(raw[len(mark) :], codec)
    signed = _by_signs(raw)
    if signed is not None:
        return _read(raw, signed)
    strict = _strict(raw, "utf-8")
    declared = _declared(raw, content_type)
    if strict is not None:
        return Decoded(strict, _label(declared[0]) if declared and raw.isascii() else "utf-8")
    for codec in declared:
        text = _strict(raw, codec) if codec != "utf-8" else None
        if text is not None:
            return Decoded(text, _label(codec))
    loose = raw.decode("utf-8", errors="replace")
    tolerated = _MAX_BAD_SHARE_DECLARED if "utf-8" in declared else _MAX_BAD_SHARE
    if loose.count("\ufffd") <= tolerated * _non_ascii(loose):
        return Decoded(loose, "utf-8")
    return _read(raw, _detected(raw))


def _by_signs(raw: bytes) -> str | None:
    head = raw[:_DECLARED_WITHIN]
    if b"\0" in head[:64]:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) > len(head) // 5:
            return "utf-16-be" if even > odd else "utf-16-le"
    if b"\x1b" in raw and _ISO_2022_JP.search(raw) and raw.isascii():
        return "iso2022_jp_ext"
    return None


def _declared(raw: bytes, content_type: str | None) -> list[str]:
    """Codecs that the header and the page name, in this order, those we know."""
    header = _CHARSET.search(content_type or "")
    meta = _META_CHARSET.search(raw[:_DECLARED_WITHIN])
    labels = ([header[1]] if header else []) + ([meta[1].decode("ascii", errors="replace")] if meta else [])
    codecs_named = (_codec(label) for label in labels)
    return [codec for codec in codecs_named if codec is not None and not codec.startswith("utf-16")]


def _codec(label: str) -> str | None:
    asked = label.strip().lower()
    while asked.startswith("x-"):
        asked = asked[2:]
    try:
        name = codecs.lookup(_ALIASES.get(asked, asked)).name
    except (LookupError, ValueError, UnicodeError):
        return None
    return _SUPERSET[name][0] if name in _SUPERSET else None


def _label(codec: str) -> str:
    return next((label for used, label in _SUPERSET.values() if used == codec), codec)


def _strict(raw: bytes, codec: str) -> str | None:
    """The text where the bytes fit (but for a character cut off at the end; outside UTF-8 a few may not), else None."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        text = decoder.decode(raw, False)
        if raw.isascii() or not text.isascii():  # a lone last byte tells of no charset
            return text
    except UnicodeError:
        pass
    if codec == "utf-8":
        return None
    loose = raw.decode(codec, errors="replace")
    return loose if loose.count("\ufffd") <= _MAX_BAD_SHARE * _non_ascii(loose) else None


def _detected(raw: bytes) -> str:
    """The codec whose reading charset-normalizer finds cleanest, then most like a language, then the commonest."""
    words = _CODE.sub(b" ", raw[:_EXAMINED_BYTES])
    telling = b" ".join(word for word in words.split() if not word.isascii())
    sample = telling if len(telling) > _TELLING_BYTES else words
    language = _LANGUAGE.search(raw[:_DECLARED_WITHIN])
    usual = _OF_LANGUAGE.get(language[1].decode().lower()) if language else None
    candidates = ([usual] if usual else []) + [codec for codec in _DETECTABLE if codec != usual]
    best, best_reading = "cp1252", None
    for codec in candidates:  # one at a time: given all at once, it stops at the first that is clean
        reading = from_bytes(sample[:_DETECTED_BYTES], cp_isolation=[codec], enable_fallback=False).best()
        if reading is not None and (best_reading is None or _reads_better(reading, best_reading)):
            best, best_reading = codec, reading
    return _codec(best) or "cp1252"


def _reads_better(one: CharsetMatch, other: CharsetMatch) -> bool:
    if abs(one.chaos - other.chaos) > _CHAOS:
        return one.chaos < other.chaos
    return one.coherence > other.coherence + _COHERENCE


def _read(raw: bytes, codec: str) -> Decoded:
    return Decoded(raw.decode(codec, errors="replace"), _label(codec))


def _non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", errors="ignore"))
