"""Titles that are not the title of the page that was asked for, in the words that servers and their guards use.

A phrase counts where it is the whole title, or its first segment ("Attention Required! | Guard"), so that an article
about error pages keeps its name. Some are names as well ("500 | Fiat"): there the page decides (`titles.py`). The
phrases are those of common servers, content systems and guards, and of their translations; none names a site.
"""

from __future__ import annotations

import re

_CODE = "(?:40[0-9]|41[0-9]|429|451|50[0-9]|52[0-9])"
_ERROR = (
    "(?:error|fehler|erreur|erro|errore|fout|błąd|fel|feil|fejl|virhe|chyba|hiba|eroare|hata|ошибка|помилка|σφάλμα|"
    "エラー|错误|錯誤|오류)"
)
_STATUS = rf"(?:http )?(?:status )?(?:{_ERROR} )?(?:code )?{_CODE}(?: ?{_ERROR})?(?: page)?"
_THING = "(?:page|file|document|url|site|content|article|resource|link|product|item|listing|recipe|post|pin)"
_THIS = rf"(?:the |this |that |your )?(?:requested )?{_THING}(?: or {_THING}| or directory)?(?: you requested)?"

_MISSING = (
    "not found",
    rf"{_THIS} (?:can(?: ?not|'t)|could(?: not|n't)|is(?: not|n't| no longer)|was(?: not|n't)|does(?: not|n't)) "
    r"(?:be )?(?:found|available|exist)(?: on this server)?",
    rf"{_THIS} (?:(?:is )?unavailable|not (?:found|available)|no longer (?:exists|available)|(?:has been|was) removed)",
    rf"(?:we )?(?:can(?:no|')t|could(?: not|n't)) find (?:the |that |this )?{_THING}",
    "nothing (?:was )?found(?: for .*)?",
    r"(?:die |diese )?(?:angeforderte |gewünschte |gesuchte )?(?:seite|datei|url)(?: wurde| konnte| ist)?(?: leider)? "
    r"(?:nicht (?:mehr )?(?:gefunden|verfügbar)(?: werden)?|existiert (?:leider )?nicht(?: mehr)?)",
    r"(?:la |cette )?page(?: demandée| recherchée)? (?:introuvable|non trouvée|n'existe (?:pas|plus)|inexistante)",
    r"(?:la )?página (?:no (?:encontrada|disponible|existe)|não (?:encontrada|disponível|existe))",
    r"no se (?:ha encontrado|encontró|encuentra) la página|(?:la )?pagina (?:non (?:trovata|esiste)|inesistente)",
    r"(?:de(?:ze)? )?pagina (?:is )?(?:niet gevonden|bestaat niet)|pagina nu (?:a fost găsită|există)",
    r"nie znaleziono (?:takiej )?strony|strona nie (?:istnieje|została (?:od|z)naleziona)",
    r"sidan (?:(?:kunde inte|ej) hittas|hittades inte|finns inte)",
    r"siden (?:(?:ble|blev) ikke (?:funnet|fundet)|fin[dn]es ikke)",
    r"sivua ei löy(?:dy|tynyt)|stránka (?:nenalezena|nebyla nalezena|neexistuje)|az oldal nem található",
    r"sayfa bulunamadı|không tìm thấy trang|halaman tidak ditemukan|ไม่พบหน้า.*",
    r"страница не (?:найдена|существует)|сторінку не знайдено|η σελίδα δεν βρέθηκε",
    r"الصفحة غير موجودة|(?:הדף |העמוד )?לא נמצא",
    r"(?:お探しの)?ページ[がは]?見つかりません(?:でした)?|ページが存在しません|(?:요청하신 )?페이지를 찾을 수 없습니다",
    r"(?:您访问的)?(?:页面|網頁|頁面)(?:不存在|未找到|找不到)|找不到(?:网页|页面|網頁|頁面)",
)
_REFUSED = (
    "forbidden|unauthorized|bad request|too many requests|request (?:rejected|blocked|denied)|request unsuccessful.*",
    r"access (?:to this page )?(?:has been |is |was )?(?:denied|blocked|restricted)|(?:sorry, )?you have been blocked",
    r"zugriff verweigert|accès (?:refusé|interdit)|acceso denegado|acesso negado|accesso negato|toegang geweigerd",
    r"odmowa dostępu|brak dostępu|доступ (?:запрещ[её]н|ограничен)",
    "アクセスが拒否されました|访问被拒绝|접근이 거부되었습니다",
)
_BROKEN = (
    "(?:internal )?server error|bad gateway|gateway time-?out|(?:service )?(?:temporarily )?unavailable",
    r"application error|an? error (?:has )?occurred|something went wrong|error|エラー",
    r"database (?:connection )?error|error establishing a database connection|\w+ [›»|] error",
    "the request could not be satisfied",
)
_CHALLENGES = (
    "attention required|just a moment|one moment,? please|please wait|pardon our interruption|(?:re)?captcha",
    r"checking your browser.*|ddos[ -](?:guard|protection)|are you (?:a |not a )?(?:human|robot)(?: or not)?",
    r"(?:please )?(?:verify(?:ing)?|confirm) (?:that )?you(?:'re| are) (?:a |not a )?(?:human|robot)",
    r"human verification|bot (?:verification|detection)|robot (?:check|or human)",
    r"(?:\w+ )?security (?:check|checkpoint|verification)",
    r"(?:please )?(?:enable|turn on|activate) (?:javascript|cookies).*|javascript (?:is )?(?:required|disabled)",
    r"(?:nur )?einen moment(?:,? bitte)?|moment,? bitte|bitte warten|un instant|veuillez patienter|u[nm] momento",
    r"een (?:moment|ogenblik) geduld|bir dakika lütfen|один момент|подождите",
    "しばらくお待ちください|잠시만 기다리십시오|请稍[候等]|請稍[候等]",
)
_WALLS = (
    r"age verification|are you (?:over|at least) \d\d|subscription required",
    r"before you continue.*|bevor sie (?:zu|weiter).*|avant d'(?:accéder|continuer).*|antes de continuar.*",
    r"(?:your |manage )?(?:cookies?|privacy|consent) (?:and \w+ )?"
    r"(?:consent|choices|preferences|settings|notice|policy)|(?:cookies?|consent) wall",
    r"cookie-?(?:einstellungen|hinweise?|richtlinien?)|wir (?:verwenden|nutzen) cookies|zustimmung erforderlich",
    r"(?:gérer |vos |mes )?(?:choix|préférences|paramètres) (?:en matière de|des|de) cookies?|gestion des cookies",
    r"(?:accepter|continuer) (?:et continuer|sans accepter)|(?:configuración|ajustes|política) de cookies",
    r"(?:impostazioni|preferenze) (?:dei |sui )?cookie|cookie-?instellingen|configurações de cookies",
    r"we (?:value|care about) your privacy|your privacy (?:matters|choices)|cookies? ?consent|datenschutzeinstellungen",
    r"(?:please )?(?:log|sign)[ -]?in(?: to continue| required| to your account| to \w+| • \w+)?",
    "anmelden|einloggen|accedi|logga in",
    "iniciar sesión|entrar|se connecter|connexion|inloggen|войти|вход|ログイン|로그인|登录|登入",
)
_PLACEHOLDERS = (
    r"loading|redirecting(?: to .*)?|(?:coming|opening) soon|we'll be (?:right )?back(?: soon)?|maintenance mode",
    r"(?:(?:site|website) )?(?:is )?(?:under|down for) (?:construction|maintenance)|(?:site|website) maintenance",
    r"wartungs(?:arbeiten|modus)|site en maintenance|(?:sitio|site) e[mn] (?:mantenimiento|manutenção)",
    r"メンテナンス中|(?:系统|網站|网站)?维护中",
    r"(?:this )?(?:domain|site|website|account)(?: name)?(?: is| has| has been)? "
    r"(?:for sale|suspended|parked|expired|disabled)|[\w.-]+\.\w+ is for sale|index of /.*",
    r"it works|welcome to nginx|(?:apache\d? )?(?:\w+ )?default (?:web site |web )?page(?:: it works)?",
    r"(?:apache )?(?:http )?(?:server )?test page.*|iis windows(?: server)?",
)
# The element was left as its template had it; another may know better.
_SAYS_NOTHING = (
    r"\{\{.*\}\}|\$\{.*\}|<%.*%>|\[object \w+\]|https?://\S+|[\w-]+\.(?:jpe?g|png|gif|webp|html?|php|aspx?)",
    r"(?:create )?(?:react|vue|vite|next|svelte|angular|ionic) app|vite \+ \w+|web site created using create-react-app",
    r"shop|store|blog|products?|product page|details?|item",
    r"home|home ?page|untitled(?: (?:document|page|\d+))?|document|index(?:\.\w{2,4})?|page|title|default|search|menu",
    r"undefined|null|none|nan|(?:main |site )?navigation|new page(?: \d+)?|main menu|skip to (?:main )?content",
    r"startseite|unbenannt(?:es dokument)?|menü|suche|(?:haupt)?navigation|inicio|accueil|início|hem|hjem",
    r"strona główna|главная(?: страница)?|ana sayfa|ホーム|首页|首頁|主页|메인|홈",
)

_END = r"(?!\W*\((?:19|20)\d\d\))[\W\d]*(?:$|\s[|:–—-]+\s|\|)"  # or a site's name; but a film has its year behind it
_PHRASE = "|".join((*_MISSING, *_REFUSED, *_BROKEN, *_CHALLENGES, *_WALLS, *_PLACEHOLDERS))
_NOT_THE_PAGE = re.compile(
    rf"\W*(?:{_STATUS}|(?:(?:{_STATUS}|{_ERROR}|sorry|oops)\W+)?(?:{_PHRASE}|{_STATUS}\W+gone)){_END}", re.IGNORECASE
)
# What servers and guards say that write no og:title; and numbers, but those that sites themselves answer with.
_A_NAME_TOO = re.compile(rf"\W*(?:(?!40[34]|410){_CODE}|{'|'.join((*_REFUSED, *_CHALLENGES))}){_END}", re.IGNORECASE)
_NOTHING = re.compile(rf"\W*(?:{'|'.join(_SAYS_NOTHING)})?\W*", re.IGNORECASE)


def is_not_the_page(title: str) -> bool:
    """Whether this is the title of an error page, a challenge, a consent wall or a placeholder."""
    return _NOT_THE_PAGE.match(title[:200].replace("’", "'")) is not None


def may_be_a_name(title: str) -> bool:
    """Whether a title that `is_not_the_page` may all the same be what a car, a print or a film is called."""
    return _A_NAME_TOO.match(title[:200].replace("’", "'")) is not None


def says_nothing(title: str) -> bool:
    """Whether this is what a template says where nobody wrote a title."""
    return _NOTHING.fullmatch(title[:200]) is not None
