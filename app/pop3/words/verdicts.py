# ruff: noqa: RUF001, E501  words of many languages, one language a line
"""PURE  What a refused login is about: the password, the account, the server, or nothing that the words tell.

The words decide, by kinds of words and not by sentences: what is said (wrong, locked, down) of what (password, maildrop,
server), in the languages in which mail servers answer. Sentences whose words mislead stand in ``refusals`` with what
they mean. A sentence that is not understood says nothing of a password, and nothing is concluded from it.
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from app.pop3.words.refusals import Meaning, meaning_of_sentence


class Verdict(StrEnum):
    """What the words of a refusal are about."""

    CREDENTIALS = "user name or password is wrong"
    LOGIN = "the login failed, and nothing more"
    DOUBTFUL = "the login failed, now or for good"
    ACCOUNT = "the account is not open"
    LOCKED_ACCOUNT = "the account is locked"
    POLICY = "not in this way, or not from here"
    SERVER = "the server is in trouble"
    PASSING = "not now"
    LOCK = "the maildrop is in use"
    DELAY = "the last login was too short a time ago"
    NOTHING = "nothing"


class Blame(StrEnum):
    """Whom a refused login is to be laid to. Words that only say "later" lay it to nobody."""

    CODE = "the credentials, by [AUTH]"  # RFC 3206 §4
    CREDENTIALS = "the credentials, by plain words"
    UNCLEAR = "nobody knows"
    SERVER = "the server"


_WORDS_READ: Final = 300  # characters: a refusal says at its beginning what it is about
_NO_MARKS: Final = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae"}
)  # NFKD leaves them whole
_MARKS: Final = re.compile("[\u0300-\u036f]")


def verdict_of(text: str) -> Verdict:
    """What a refusal says. ``text``: what stood behind -ERR, without what we sent ourselves."""
    if (meaning := meaning_of_sentence(text)) in _BY_MEANING:
        return _BY_MEANING[meaning]
    words = plain(text)
    if _WRONG_CREDENTIALS.search(words) and not _HARDLY_CREDENTIALS.search(words):
        return Verdict.CREDENTIALS
    if _DELAY.search(words):
        return Verdict.DELAY
    if _TOO_MANY_WRONG.search(words):
        return Verdict.LOGIN if _FAILED_LOGIN.search(words) else Verdict.LOCKED_ACCOUNT
    if _NO_SUCH_WAY.search(words):
        return Verdict.POLICY
    if (lock := _lock_of(words)) is Verdict.LOCKED_ACCOUNT:
        return lock
    if _HARD_PASSING.search(words) and lock is None:
        return Verdict.PASSING
    if lock is not None:
        return lock
    if _SOFT_PASSING.search(words) and _FAILED_LOGIN.search(words) and not _BUSY.search(words):
        return Verdict.DOUBTFUL  # "login failed, please try again": it may be the password all the same
    for pattern, verdict in _IN_ORDER:
        if pattern.search(words):
            return verdict
    return Verdict.NOTHING


def _lock_of(words: str) -> Verdict | None:
    """Whether a lock is spoken of: the maildrop's, which a session holds, or another one; not one that is threatened.

    A login that is barred must not be taken for the maildrop's lock, which is tried again within seconds.
    """
    if _IN_USE.search(words):
        return Verdict.LOCK
    if not _SHUT.search(_THREAT.sub(" ", words)):
        return None
    is_barred = bool(_BARRED.search(words)) or not _MAILDROP.search(words)
    return Verdict.LOCKED_ACCOUNT if is_barred else Verdict.LOCK


def plain(text: str) -> str:
    """Lower case, full-width forms and accents undone, blanks folded; the first 300 characters."""
    folded = unicodedata.normalize("NFKD", text[:_WORDS_READ].replace("\u2019", "'")).casefold()
    return " ".join(_MARKS.sub("", folded).translate(_NO_MARKS).split())


def _any(*stems: str) -> str:
    """Any of these stems; those in alphabets begin a word."""
    return "(?:" + "|".join(_stem(plain(stem)) for stem in stems) + ")"


def _stem(stem: str) -> str:
    return stem if re.match(r"[\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af\u1100-\u11ff]", stem) else rf"\b{stem}"


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


def _near(first: str, second: str, *, most: int = 40, without: str = "") -> str:
    """One and then the other in the same clause, with at most so many characters between, in either order."""
    between = rf"(?:{without}[^.;]){{0,{most}}}?"
    return rf"{first}\w*{between}{second}|{second}\w*{between}{first}"


def _all(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(stem for group in groups for stem in group)


# One line a language: English, German, French, Spanish and Portuguese, Italian, Dutch, Nordic, Finnish, Polish, Czech,
# Hungarian, Turkish, Russian, Chinese, Japanese, Korean; then Romanian, Greek, Ukrainian, Bulgarian, Croatian, Slovene, the
# Baltic ones, Catalan, Vietnamese, Indonesian, Thai, Arabic, Hebrew.
_SECRET: Final = _any(
    r"pass(?:words?|wd|phrase|code)?\b", r"pwd\b", "passwort", "kennwort", "mot de passe", "contrasena", "clave", "senha",
    "palavra-passe", "parola", "wachtwoord", "losenord", "adgangskode", "passord", "salasana", "haslo", "heslo", "jelszo",
    "sifre", "пароль", "пароля", "密码", "密碼", "口令", "授权码", "パスワード", "비밀번호", "암호",
    "κωδικ", "парола", "парол", "lozink", "zaporka", "geslo", "slaptazod", "parool", "contrasenya", "mat khau", "kata sandi", "sandi",
    "รหัสผ่าน", "كلمة (?:ال)?(?:مرور|سر)", "סיסמ", "סיסמה",
)  # fmt: skip
_USER: Final = _any(
    r"(?:user|account|login|logon|mailbox)[ -]?(?:name|id)\b", r"users?\b", "benutzer", "nutzername", "utilisateur",
    "usuari", "utente", "gebruiker", "anvandar", "brukernavn", "bruker", "bruger", "kayttaj", "uzytkownik", "uzivatel",
    "felhasznalo", "kullanici", "пользовател", "логин", "korisnick", "uporabnisk", "jmeno", "ten dang nhap", "pengguna", "χρηστ", "користувач", "потребител", "ชื่อผู้ใช้", "اسم المستخدم",
    "שם משתמש", "用户", "用戶", "账号", "帐号", "帳號", "ユーザー", "사용자",
    r"(?:e-?mail )?address\b", "recipient",
)  # fmt: skip
_RUN_OUT: Final = _any(
    "expired",
    "must be changed",
    "abgelaufen",
    "expire",
    "caducad",
    "expirad",
    "scadut",
    "verlopen",
    "utgatt",
    "wygas",
    "vyprsel",
    "lejart",
    "suresi doldu",
    "истек",
    "过期",
    "期限切れ",
    "만료",
)
_CREDENTIALS: Final = _any(
    "credential", "zugangsdaten", "anmeldedaten", "identifiant", "credencia", "credenzial", "inloggegevens",
    "uwierzytelniajac", "учетны", "ログイン情報", "凭据", "凭证",
)  # fmt: skip
_WRONG: Final = _any(
    "bad", "invalid", "incorrect", "wrong", "unknown", "mismatch", "no such", "never heard of", "rejected",
    r"(?:not|isn't|wasn't|aren't) (?:\w+ )?(?:accept|valid|recogni[sz]|correct|accurate|match|known|exist|found|right)",
    r"do(?:es)?(?:n't| not) (?:match|exist)",
    "falsch", "ungultig", "inkorrekt", "unbekannt", "nicht (?:korrekt|gultig|bekannt|richtig|gefunden|erkannt)",
    r"stimm\w* nicht", "unzulassig",
    "errone", "inconnu", "mauvais", "invalide", "non (?:valid|reconnu|corrett|riconosciut)", "n'est pas (?:valide|correct)",
    "incorrect[oa]", "equivocad", "desconocid", "desconhecid", "no (?:valid|es (?:valid|correct)|reconocid|coincid)",
    "errad", "nao (?:confere|reconhecid|e valid|encontrad)",
    "errat", "sbagliat", "sconosciut", "onjuist", "ongeldig", "verkeerd", "onbekend", "niet (?:juist|correct|geldig)",
    "fel(?:aktig)?", "ogiltig", "okand", "forkert", "ugyldig", "ukendt", "feil", "ukjent", "vaara", "virheellinen",
    "bledn", "nieprawidlow", "niepoprawn", "nieznan", "chybn", "nespravn", "neplatn", "neznam", "hibas", "helytelen",
    "ervenytelen", "ismeretlen", "yanlis", "gecersiz", "hatali", "bilinmeyen", "неверн", "неправильн", "некорректн",
    "недействительн", "неизвестн", "не найден",
    "错误", "錯誤", "不正确", "不正確", "不存在", "有误", "無効", "間違", "正しくありません", "잘못", "올바르지", "일치하지", "존재하지",
    "gresit", "incorect", "λαθος", "μη εγκυρ", "невірн", "грешн", "невалидн", "pogresn", "neispravn", "nevazec", "napacn", "neteising",
    "nepareiz", r"vale\b", r"sai\b", "khong (?:dung|hop le|chinh xac)", "salah", "tidak (?:valid|benar|sesuai)", "ไม่ถูกต้อง",
    "غير صحيح", "خاطئ", "שגוי", r"zl[yea]\b", "spatn", "rossz",
)  # fmt: skip
_FAILED: Final = _any(
    "fail", "error", "denied", "refus", "not (?:allowed|permitted|authori[sz]ed)", r"(?:unable|cannot|can't|could not) (?:to )?",
    "unsuccessful", "not successful", "reject", "fehlgeschlagen", "fehler", "verweigert", "abgelehnt", "nicht moglich",
    "gescheitert", "echec", "echoue", "impossible",
    "fallo", "fallid", "falh", "negad", "recusad", "rechazad", "fallit", "negat", "non riuscit", "mislukt", "geweigerd",
    "misslyck", "nekad", "mislyk", "mislykt", "epaonnist", "nie powiod", "odmow", "selhal", "zamitnut", "sikertelen",
    "basarisiz", "не удал", "ошибка", "отказ", "失败", "失敗", "拒绝", "拒否", "실패", "거부",
    "esuat", "αποτυχ", "απετυχ", "не вдал", "помилк", "неуспешн", "neuspjel", "neuspes", "ni uspel", "nezdaril", "nepavyko", "that bai",
    "gagal", "ล้มเหลว", "فشل", "נכשל", "niemozliw",
)  # fmt: skip
_LOGGING_IN: Final = _any(
    r"auth(?:enticat|oris|oriz)?\w*", r"log(?:ging)?[ -]?(?:in|on)\b", "sign(?:ing)?[ -]?in", "access", "permission",
    "anmeldung", "anmelden", "einlogg", "zugriff", "authentifi", "connexion", "identification", "autenti", "inicio de sesion",
    "acceso", "acesso", "autoriz", "accesso", "aanmeld", "inlogg", "innlogg", "paalogg", "palogg", "kirjautu", "logowani",
    "uwierzytelni", "prihlas", "bejelentkez", "hitelesit", "giris", "oturum", "вход", "аутентификац", "авториз", "登录",
    "登錄", "登入", "认证", "認証", "ログイン", "로그인", "인증",
    "συνδεσ", "ταυτοποι", "автентификац", "автентифікац", "вхід", "prijav", "prisijung", "dang nhap", "masuk", "เข้าสู่ระบบ",
    "تسجيل الدخول", "התחברות",
)  # fmt: skip
_MAILDROP: Final = _pattern(
    _any(
        r"mail ?drop", r"mail ?box", r"mbox\b", r"inbox", r"spool", r"(?<!e-)mail\b(?! account)", "folder", "index", r"files?\b", "postfach", "briefkasten",
        "boite", "messagerie", "buzon", "caixa", "casella", "postvak", "postbus", "brevlada", "postkasse", "innboks",
        "postilaatik", "skrzynk", "schrank", "schranka", "postafiok", "posta kutusu", "ящик", "邮箱", "郵箱", "信箱",
        "メールボックス", "메일함", "사서함",
    ),
)  # fmt: skip
# A session holds it.
_IN_USE: Final = _pattern(
    r"\b(?:unable|cannot|can't|could not|couldn't|failed) (?:to )?(?:\w+ )?lock\b",
    r"\block (?:is )?(?:busy|held|file)\b",
    _any(
        "in use", "locking", r"(?:another|other) (?:pop3? )?(?:session|client|connection|process|program)", "using this mail",
        "(?:being|currently) (?:used|accessed)", "already (?:logged|open|active|connected|running|in use|lock)",
        "in (?:benutzung|gebrauch|verwendung)", "bereits (?:geoffnet|angemeldet|in)", "belegt",
        "deja (?:ouvert|utilis|connect|verrou)", "en cours d'utilisation", "autre session",
        "en uso", "em uso", "ya (?:esta )?(?:abiert|en uso|bloquead)", "siendo (?:utilizad|usad)", "sendo (?:utilizad|usad)",
        "in uso", "gia (?:in uso|apert)", "in gebruik", "upptagen", "i bruk", "kaytossa", "uzywan", "pouzivan",
        "hasznalatban", "kullanimda", "занят", "используется", "占用", "使用中", "사용 중",
    ),
)  # fmt: skip
# It is shut: the maildrop by a session, or the account by somebody.
_SHUT: Final = _pattern(
    _any(
        r"lock(?:ed|out)?\b", "gesperrt", "verriegelt", "verrouill", "bloque", "bloquead", "bloccat", "vergrendeld", "geblokkeerd",
        "last av", "ar last", "er last", "laast", "lukittu", "zablokowan", "zablokovan", "zamknut", "uzamc", "zamcen", "zarolt",
        "zarolva", "kilitli", "заблокирован", "锁定", "鎖定", "被锁", "ロック", "잠겨", "잠김",
    ),
)  # fmt: skip
_THREAT: Final = re.compile(
    r"\b(?:will|would|may|might|can|could|to avoid|avoid|before|then|wird|werden|sera|sara|zostanie|bude)\b[^.;]{0,30}?"
    rf"(?:{_SHUT.pattern})"
)
# By somebody, or of something that is no maildrop.
_BARRED: Final = _pattern(
    r"(?<!of )(?<!for )(?<!of the )(?<!for the )\b(?:account|user|login)\b(?! ?(?:mail|inbox))[\w ]{0,30}\block(?:ed|out)?\b",
    r"\block(?:ed)? (?:out|account)\b|\block(?:ed)?out\b",
    r"\b(?:abuse|security|administrat\w*|missbrauch\w*|support|too many|fail(?:ed|ures?))\b",
    _near(
        _any("konto", "kunden", "benutzer", "compte", "cuenta", "conta", "usuario", "utente", "account", "rekening", "kontot",
             "tili", "uzytkownik", "ucet", "fiok", "hesab", "учетная запись", "аккаунт", "账户", "帐户", "账号", "アカウント", "계정"),
        _any("gesperrt", "verrouill", "bloque", "bloccat", "geblokkeerd", "last", "lukittu", "zablokowan", "zablokovan", "uzamc",
             "zarolt", "kilitl", "заблокирован", "锁定", "冻结", "ロック", "잠"),
    ),
)  # fmt: skip
_DELAY: Final = _pattern(
    r"\b(?:minimum (?:time|interval|delay) between|too (?:often|soon|frequent\w*|quickly)|login[ -]delay"
    r"|login limit for|frequency of requests|(?:only|nur) (?:every|once (?:every|per)|all?e) \d+)\b",
    _any("zu (?:haufig|oft|fruh)", "trop (?:souvent|frequent)", "demasiado (?:pronto|a menudo|frecuent)", "troppo (?:spesso|frequent)",
         "te (?:vaak|snel)", "for ofte", "for ofta", "zbyt czesto", "prilis casto", "слишком часто", "过于频繁", "频繁", "頻繁"),
)  # fmt: skip
_TOO_MANY_WRONG: Final = re.compile(
    r"\btoo many (?:invalid|failed|bad|wrong|unsuccessful|incorrect|authentication|password|login)\b[\w ]{0,20}"
    r"\b(?:log(?:in|on)s?|attempts|failures|tries|passwords)\b"
)
# These speak of the server's state, whatever else the sentence says.
_HARD_PASSING: Final = _pattern(
    r"\b(?:temporar\w*|transient|unavailable|not available|no \w*(?: \w+)? ?servers? available|overload\w*|time[ds]?[ -]?out|shutting down|starting up|maintenance"
    r"|(?:system|server|internal|service)(?: \w+)? (?:error|problem|failure)|connection refused)\b",
    _any(
        "vorubergehend", "zeitweilig", "zeitweise", "derzeit", "zurzeit", "zur zeit", "momentan", "nicht (?:verfugbar|erreichbar)",
        "uberlastet", "serverfehler", r"intern\w* fehler", "wartung", "temporaire", "indisponible", "pour le moment", "en ce moment",
        r"erreur (?:interne|du serveur|serveur|systeme)", "surcharg", "temporal", "temporari", "indisponivel", "no disponible",
        r"err(?:or|o) (?:intern|del servidor|do servidor|de servidor)", "mantenimiento", "manutenc", "momentanea", "non disponibile",
        r"errore (?:interno|del server|di sistema)", "manutenzione", "tijdelijk", "niet beschikbaar", r"(?:interne|server)[ -]?fout",
        "onderhoud", "tillfallig", "inte tillganglig", "midlertidig", "ikke tilgjengelig", "ikke tilgaengelig", r"intern\w* fe(?:l|jl|il)",
        "serverfel", "underhall", "vedlikehold", "vedligehold", "tilapais", "tymczasow", "chwilow", "niedostepn",
        r"blad (?:wewnetrzny|serwera)", "docasn", "nedostupn", r"(?:vnitrni|interni) chyba", "chyba serveru", "ideiglenes", "atmeneti",
        "nem elerheto", "gecici", "kullanilamiyor", "sunucu hatasi", "bakim", "временн", "недоступ", r"внутренняя ошибка", "ошибка сервера",
        "техническ", "暂时", "暫時", "不可用", "繁忙", "维护", "維護", "服务器错误", "服务器内部", "系统错误", "内部错误", "一時的",
        "メンテナンス", "サーバーエラー", "内部エラー", "일시", "점검", "서버 오류", "내부 오류",
        "προσωριν", "тимчасов", "privremen", "zacasn", "laikin", "tam thoi", "sementara", "ชั่วคราว", "مؤقت", "זמני",
    ),
)  # fmt: skip
_BUSY: Final = re.compile(
    r"\b(?:(?:too )?busy|overload\w*|throttl\w*|rate[ -]limit\w*|too many (?!(?:\w+ )?(?:attempts|tries|failures|errors))|max\w*"
    r"|(?:connection|session|user)s? (?:limit|quota)|limit of (?:connections|sessions|users))"
)
# These do as well, where nothing else is said.
_SOFT_PASSING: Final = _pattern(
    r"\b(?:later|busy|too many|(?:try|trying) again|retry|wait|exceed\w*|limit|rate|throttl\w*|already|another time"
    r"|\d+ ?(?:s|sec\w*|min\w*|hours?|sek\w*|stunden?))\b",
    _any(
        "spater", "erneut", "nochmal", "bitte warten", "zu viele", "plus tard", "ulterieur", "reessay", "trop de", "mas tarde",
        "mais tarde", "intente", "tente", "demasiad", "piu tardi", "riprova", "troppi", "troppe", "later", "opnieuw", "probeer",
        "te veel", "senare", "senere", "forsok", "prov igen", "prov pa nytt", "for mange", "myohemmin", "uudelleen", "pozniej", "ponown",
        "pozdeji", "znovu", "kesobb", "daha sonra", "tekrar", "позже", "позднее", "повтор", "слишком много", "稍后", "稍後", "重试",
        "重試", "过多", "後で", "のちほど", "しばらく", "나중", "잠시", "다시",
    ),
)  # fmt: skip
_THINGS: Final = _any(
    r"mail ?box", r"mail ?drop", r"mbox\b", "inbox", "spool", r"mail ?(?:dir|folder|store|file)", "folder", "director", r"home\b",
    r"index", r"stor(?:e|age)\b", "file", "data ?base", r"db\b", "ldap", r"\w*sql", "server", "service", "backend", "back-end", "host",
    "node", "daemon", "process", "socket", "proxy", "upstream", "disk", "memory", "resource", "quota", "cluster", "domain", "config",
    "account (?:data|info)", "user (?:data|info|record|profile|lookup)", "messages?\\b",
)  # fmt: skip
_OPENING: Final = _any(
    "open", "access", "read", "load", "locat", "select", "creat", "initiali[sz]", "obtain", r"get\b", "retriev", "scan", r"stat\b", "contact",
    "connect", "reach", "look ?up", "chdir", "change", "writ", "pars", "mount", "allocat", "fetch", "start", "bind", "query", "fork",
    "determin", "find", "verif", "copy",
)  # fmt: skip
_UNABLE: Final = _any(
    "unable", "cannot", "can't", "can not", "could not", "couldn't", "fail", "error", "problem", "trouble", "unexpected", "not able",
    "exception", "while", "wasn't able",
)  # fmt: skip
_TROUBLE: Final = _pattern(
    rf"{_UNABLE}\w*[^.;]{{0,30}}?{_OPENING}\w*[^.;]{{0,30}}?{_THINGS}",
    rf"{_THINGS}\w*[^.;]{{0,40}}?{_any('error', 'fail', 'problem', 'down', 'exception', 'full', 'crash', 'not respon', 'no respon', 'gone', 'lost', 'exhaust', 'dead', 'died', 'broken', 'damage', 'corrupt', 'inconsisten', 'cannot be', 'could not be', 'is not ready', 'not ready', 'missing', 'read[ -]?only', 'closed the connection', 'not running')}",
    rf"{_any('error', 'problem', 'trouble', 'exception', 'failure')}\w*[^.;]{{0,25}}?{_any('in', 'on', 'at', 'with', 'accessing', 'opening', 'reading', 'from')}\b[^.;]{{0,25}}?{_THINGS}",
    rf"{_any('bad', 'corrupt', 'damaged', 'broken', 'no', 'missing', 'lost', 'invalid')}\w*[^.;]{{0,12}}?{_any('mailbox (?:file|format|state)', 'index', r'mail ?dir', 'folder', 'director', 'storage', 'data ?base', r'.?home/')}",
    _any(
        r"out of (?:memory|disk|space|resource|service|file|order|swap)", "no (?:more )?(?:memory|space|disk|resource|room)",
        "not enough", "insufficient", "low on", "repair", "rebuil", "re-?index", "reconstruct", "recover(?:y|ing)\\b", "migrat", r"moved\b",
        "relocat", "being restored", "corrupt", "inconsisten", r"unexpected (?:error|exception|response|end|condition|failure|problem|state)",
        "unknown (?:error|problem|failure|exception)", "fatal", r"i(?:nput)?/?o(?:utput)? error", r"connection (?:failed|lost|reset|broken)", "internal", "exception", "crash", "segmentation", "assertion",
        "offline", "over ?quota", "quota", r"look(?:ing)? ?up\b", "system", "unreachable", "generic failure", r"did(?:n't| not) (?:answer|respond)", "no such (?:file|directory)", "try another server", "wrong (?:server|node|host)", "referral",
        r"(?:server|service|backend|ldap|database)\w*[^.;]{0,20} (?:down|offline|away|gone|stopped)", r"resource[s ]", "deadlock", "discontinued", "decommission", "no longer (?:available|supported|offered|in service)",
        "cannot allocate", "too many open files", "child", r"fork\b", "permission denied (?:on|for|opening|reading) ",
    ),
    # The same in other languages: a thing of the server's, and that it cannot be had.
    _near(
        _any("postfach", "mailbox", "datenbank", "verzeichnis", "ordner", "server", "dienst", "boite", "base de donnees", "serveur",
             "service", "dossier", "buzon", "caixa", "base de datos", "base de dados", "banco de dados", "servidor", "servicio", "servico", "carpeta",
             "casella", "database", "cartella", "servizio", "postvak", "dienst", "map", "brevlada", "postkasse", "postlada", "palvelin",
             "skrzynk", "baza", "bazy", "serwer", "schrank", "databaz", "postafiok", "adatbazis", "kiszolgalo", "posta kutusu", "sunucu",
             "veritaban", "ящик", "базы", "база", "сервер", "служб"),
        _any("nicht", "konnte", "kann", "fehler", "defekt", "beschadigt", "umgezogen", "verschoben", "voll", "repar", "impossible",
             "erreur", "ne peut", "n'a pas pu", "n'a pu", "deplace", "endommag", "plein", "en panne", "no se pued", "no se pudo", "no fue posible", "imposible",
             "nao foi possivel", "nao pode", "nao e possivel", "erro", "falha", "fallo", "movid", "corrupt", "danad", "llen", "impossibile", "errore", "non e possibile",
             "spostat", "danneggiat", "pien", "guast", "kan", "niet", "fout", "verplaatst", "beschadigd", "vol", "kunde inte", "kan inte",
             "kunne ikke", "kan ikke", "flyttad", "flyttet", "ei voi", "epaonnist", "nie mozna", "nie udalo", "blad", "przenies", "uszkodz",
             "nelze", "nepodaril", "chyba", "presunut", "poskoz", "nem (?:sikerul|lehet)", "hiba", "athelyez", "acilam", "erisil", "hata",
             "tasin", "не удал", "не удается", "невозмож", "ошибка", "перемещ", "поврежд", "недостаточ"),
    ),
    _any("kein speicher", "datenbankfehler", "serverprobleme?", "speicherplatz", "memoire insuffisante", "memoria insuficiente", "memoria insufficiente", "brak pamieci",
         "недостаточно памяти", "服务器", "伺服器", "系统", "系統", "数据库", "内存", "サーバ", "データベース", "メモリ", "서버", "시스템", "데이터베이스", "메모리"),
    _near(_any("邮箱", "信箱", "郵箱", "メールボックス", "메일함", "사서함"), _any("打开", "打開", "开けません", "開けません", "无法", "無法", "迁移", "移転", "移動", "열 수", "이동")),
)  # fmt: skip
_NO_SUCH_WAY: Final = re.compile(
    r"\b(?:mechanism|method)\b[^.;]{0,30}\b(?:not (?:available|supported|enabled|implemented|allowed)|unavailable|disabled)"
)
_POLICY: Final = _pattern(
    r"\b(?:plain ?text|clear ?text|unencrypted|insecure|non-secure|encryption (?:is )?required|(?:ssl|tls|stls|starttls) (?:is )?(?:required|first|mode)"
    r"|requires? (?:ssl|tls|encryption)|under a layer|secure connection|app(?:lication)?[ -](?:specific )?password|web login|web ?browser"
    r"|two[ -]factor|2fa|mfa|oauth2?|blacklist\w*|black ?listed|block ?list\w*|your (?:ip|address|host|country|location)|banned"
    r"|(?:unknown|unsupported|unrecognized|invalid|no such|not supported) (?:auth\w* |sasl )?(?:mechanism|method|type)|mechanism|strong(?:er)? auth\w*)\b",
)
_ACCOUNT: Final = _pattern(
    r"\b(?:disabled|suspend\w*|deactivat\w*|inactive|not active|not activated|not enabled|terminated|expired|cancel\w*"
    r"|over ?due|unpaid|blocked|frozen|closed|not (?:allowed|permitted|entitled|licensed|subscribed) (?:to|for)"
    r"|no (?:access|rights?|permission) (?:to|for)|pop3? (?:access )?(?:is )?(?:not|off|disabled|denied))\b",
    _any("deaktiviert", "abgelaufen", "gekundigt", "nicht (?:aktiv|freigeschaltet|freigegeben)", "desactive", "suspendu", "expire", "deshabilitad",
         "desactivad", "suspendid", "caducad", "desabilitad", "desativad", "disabilitat", "disattivat", "sospes", "scadut",
         "uitgeschakeld", "verlopen", "avstangd", "inaktiverad", "deaktiver", "poistettu kaytosta", "wylaczon", "nieaktywn", "zawieszon",
         "zakazan", "neaktivn", "letiltva", "devre disi", "отключен", "приостановлен", "禁用", "停用", "未开启", "未开通", "無効化", "비활성"),
)  # fmt: skip
_FAILED_LOGIN: Final = _pattern(
    _near(_LOGGING_IN, _FAILED),
    _near(_LOGGING_IN, _WRONG),
    _near(f"(?:{_SECRET}|{_USER}|{_CREDENTIALS})", _FAILED),
    rf"{_any('log', 'sign', 'authenticate')}\w*(?: you)? (?:in|on)\b",
)
_NOT_BETWEEN: Final = rf"(?!{_any('error', 'problem', 'failure', 'exception', 'while', 'server', 'database', 'mailbox (?:of|for)')})"
_WRONG_CREDENTIALS: Final = _pattern(
    _near(f"(?:{_SECRET}|{_USER}|{_CREDENTIALS})", _WRONG, without=_NOT_BETWEEN),
    _near(_SECRET, _RUN_OUT),
    r"\bno mailbox for\b[^.;]{0,80}\bhere\b",  # RFC 1939's own example of an unknown name
    r"\bnever heard of\b|\b(?:no such|unknown|non-?existent) account\b",
)
# Words of the server's own state outweigh those of the password: "bad password database", "unknown user: lookup failed".
_HARDLY_CREDENTIALS: Final = _pattern(
    r"\b(?:temporar\w*|unavailable|not available|overload\w*|shutting down|starting up|maintenance|(?:password|user) (?:data ?base|file|db|backend|server)"
    r"|(?:system|server|internal|service|backend|database|ldap)(?: \w+)? (?:error|problem|failure|down)|connection refused"
    r"|look ?up|time[ds]?[ -]?out|too many (?:connections|sessions|processes))\b",
    _any("vorubergehend", "tijdelijk", "temporaire", "temporal", "temporane", "tymczasow", "docasn", "временн", "暂时", "一時的", "일시"),
)  # fmt: skip

_IN_ORDER: Final = (
    (re.compile(r"\bquota\b|\b(?:disk|mailbox|maildrop|mail box) (?:is )?full\b"), Verdict.SERVER),
    (_SOFT_PASSING, Verdict.PASSING),
    (_POLICY, Verdict.POLICY),
    (_TROUBLE, Verdict.SERVER),
    (_ACCOUNT, Verdict.ACCOUNT),
    (_FAILED_LOGIN, Verdict.LOGIN),
)

_BY_MEANING: Final = {
    Meaning.APP_PASSWORD: Verdict.POLICY,
    Meaning.WEB_LOGIN: Verdict.POLICY,
    Meaning.CLEAR_TEXT: Verdict.POLICY,
    Meaning.SWITCHED_OFF: Verdict.ACCOUNT,
    Meaning.LOCKED_ACCOUNT: Verdict.LOCKED_ACCOUNT,
    Meaning.IN_USE: Verdict.LOCK,
    Meaning.TOO_SOON: Verdict.DELAY,
    Meaning.TROUBLE: Verdict.SERVER,
    Meaning.TEMPORARY: Verdict.PASSING,
}
