"""Titles that are not the title of the page that was asked for, in the words that servers and their guards use.

A phrase counts where it is the whole title, or its first segment ("Attention Required! | Guard"), so that an article
about error pages keeps its name.
"""

from __future__ import annotations

import re

_THING = "(?:page|file|document|url|site|content|article|resource)"
_STATUS = "(?:http )?(?:status )?(?:error )?(?:code )?(?:40[0-9]|41[0-9]|429|50[0-9]|52[0-9])"
_MISSING = (
    rf"not found|gone|(?:the |this |that )?{_THING}(?: or {_THING}| or directory)?"
    r" (?:can(?:not|['’]t)|could(?: not|n['’]t)|is|was|has|does)? ?(?:not|no longer)? ?(?:be(?:en)? )?"
    r"(?:found|available|exist|removed)"
)
_REFUSED = r"forbidden|unauthorized|bad request|too many requests|request (?:rejected|blocked|denied)|access denied"
_BROKEN = r"(?:internal )?server error|bad gateway|gateway time-?out|(?:service )?(?:temporarily )?unavailable"

# The whole page is a refusal, a challenge, a consent wall or a placeholder: nothing on it speaks of the page meant.
_NOT_THE_PAGE = (
    # errors
    rf"{_STATUS}(?: error)?(?: page)?",
    rf"(?:{_STATUS}\W+|(?:sorry|oops)\W+)?(?:{_MISSING}|{_REFUSED}|{_BROKEN})",
    r"an? error (?:has )?occurred|something went wrong|error|forbidden",
    r"seite nicht gefunden|page (?:introuvable|non trouvée)|p[áa]gina (?:no|não) encontrada|pagina non trovata",
    r"ページが見つかりません|страница не найдена|页面不存在|页面未找到|找不到(?:网页|页面)",
    # refusals and challenges
    r"access (?:to this page )?(?:has been |is |was )?(?:denied|blocked|restricted)",
    r"(?:sorry, )?you have been blocked|attention required|just a moment|one moment,? please|please wait",
    r"checking your browser.*|ddos[ -](?:guard|protection)|are you (?:a |not a )?(?:human|robot)(?: or not)?",
    r"(?:please )?(?:verify|confirm) (?:that )?you(?:['’]re| are) (?:a |not a )?(?:human|robot)|human verification",
    r"robot (?:check|or human)|security (?:check|verification)|bot (?:verification|detection)|captcha",
    r"(?:please )?(?:enable|turn on|activate) (?:javascript|cookies).*|javascript (?:is )?(?:required|disabled)",
    # consent and sign-in walls
    r"before you continue.*|bevor sie (?:zu|weiter).*|avant d['’](?:accéder|continuer).*|antes de continuar.*",
    r"(?:your |manage )?(?:cookies?|privacy|consent) (?:and \w+ )?(?:consent|choices|preferences|settings|wall|notice)",
    r"we (?:value|care about) your privacy|your privacy (?:matters|choices)|cookies? ?consent|datenschutzeinstellungen",
    r"(?:log|sign)[ -]?in(?: to continue| required)?|anmelden|iniciar sesión|se connecter|ログイン|登录",
    # placeholders
    r"loading|redirecting.*|(?:site |website )?(?:is )?(?:under|down for) (?:construction|maintenance)",
    r"(?:this )?(?:domain|site|website|account)(?: name)?(?: is| has been)? "
    r"(?:for sale|suspended|parked|expired|disabled)|index of /.*|it works|welcome to nginx",
    r"(?:apache\d? )?(?:\w+ )?default (?:web site |web )?page(?:: it works)?|iis windows(?: server)?|maintenance mode",
)
# The element was left as its template had it; another may know better.
_SAYS_NOTHING = (
    r"home|home ?page|untitled(?: (?:document|page|\d+))?|document|index(?:\.\w{2,4})?|page|title|default|search|menu",
    r"undefined|null|none|nan|navigation|new page(?: \d+)?",
    r"startseite|unbenannt(?:es dokument)?|menü|suche|inicio|accueil|início|ホーム|首页|главная",
)

_NOT_THE_PAGE_PATTERN = re.compile(rf"\W*(?:{'|'.join(_NOT_THE_PAGE)})[\W\d]*(?:$|\s[|:–—-]+\s|\|)", re.IGNORECASE)
_SAYS_NOTHING_PATTERN = re.compile(rf"\W*(?:{'|'.join(_SAYS_NOTHING)})?\W*", re.IGNORECASE)


def is_not_the_page(title: str) -> bool:
    """Whether this is the title of an error page, a challenge, a consent wall or a placeholder."""
    return _NOT_THE_PAGE_PATTERN.match(title[:200]) is not None


def says_nothing(title: str) -> bool:
    """Whether this is what a template says where nobody wrote a title."""
    return _SAYS_NOTHING_PATTERN.fullmatch(title[:200]) is not None
