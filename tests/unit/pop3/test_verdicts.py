# ruff: noqa: RUF001  words of many languages stand here
"""What refusals say: sentences of servers' sources and of reports, and others of the same kind that stand nowhere."""

import time

import pytest

from app.pop3.errors import (
    AuthFailed,
    LoginDelay,
    MaildropInUse,
    Pop3Error,
    ServerPermanent,
    ServerTemporary,
    login_error,
)
from app.pop3.words.refusals import SENTENCES, Meaning, Sentence
from app.pop3.words.verdicts import Blame, Verdict, verdict_of

CORPUS: dict[Verdict, tuple[str, ...]] = {
    Verdict.CREDENTIALS: (
        "Logon failure: unknown user name or bad password.",  # Exchange
        "Invalid user name or password.",  # hMailServer
        "Username and password not accepted.",  # Gmail, WildDuck
        "Invalid login or password",  # nginx mail's documentation
        "invalid user/password",  # Yahoo
        "Wrong password, please try again",
        "wrong password, please try again later",
        "Password supplied for reader is incorrect.",  # qpopper
        "sorry, no mailbox for frated here",  # RFC 1939 §7, USER
        "never heard of mailbox name",  # RFC 1939 §7, USER
        "no such user here",
        "User unknown",
        "Your password has expired",
        "Username or password incorrect. Please retry.",
        "Invalid password: the clock of blocks is unlocked",
        "Benutzername oder Passwort falsch",
        "Kennwort ist ungültig",
        "Ihr Passwort ist abgelaufen",
        "Die Zugangsdaten sind ungültig",
        "mot de passe incorrect",
        "Identifiants invalides",
        "utilisateur inconnu",
        "Usuario o contraseña incorrectos",
        "Usuário ou senha inválidos",
        "Nome utente o password errati",
        "Onjuiste gebruikersnaam of wachtwoord",
        "Fel lösenord",
        "Forkert adgangskode",
        "Nieprawidłowe hasło",
        "Chybné heslo",
        "Hibás jelszó",
        "Geçersiz şifre",
        "неверный пароль",
        "用户名或密码错误",
        "パスワードが正しくありません",
        "비밀번호가 올바르지 않습니다",
        "Nume de utilizator sau parolă incorectă",
        "Λάθος κωδικός πρόσβασης",
        "Невірний пароль",
        "Грешна парола",
        "Neispravno korisničko ime ili lozinka",
        "Napačno geslo",
        "Neteisingas slaptažodis",
        "Contrasenya incorrecta",
        "Tên đăng nhập hoặc mật khẩu không đúng",
        "Kata sandi salah",
        "รหัสผ่านไม่ถูกต้อง",
        "كلمة المرور غير صحيحة",
        "סיסמה שגויה",
        "Zły login lub hasło",
        "Špatné jméno nebo heslo",
        "Rossz felhasználónév vagy jelszó",
        "Login fail. Account is abnormal, service is not open, password is incorrect, or system is busy.",  # QQ
        "no such account",  # Zimbra
        "Incorrect password, try again in a few seconds",
        "Invalid password. To avoid your account being locked, check it",
    ),
    Verdict.DOUBTFUL: (
        # It may be the password: repeated at the poll interval, it would get the account locked.
        "Login failed. Please try again later",
        "Authentication failed, please try again",
        "Authentication failed, too many attempts",
        "authentication failed (took 2 sec)",
        "login failure or POP3 disabled, try later. sc=abc12",  # Yandex
        "Anmeldung fehlgeschlagen, bitte erneut versuchen",
        "Échec de connexion, veuillez réessayer",
        "Error de autenticación, intente de nuevo",
        "登录失败，请重试",
    ),
    Verdict.LOGIN: (
        "Login failed.",  # Courier
        "Authentication failed.",  # Dovecot, James, Stalwart
        "authorization failed",  # qmail-popup
        "Unable to log on",  # Exchange
        "Bad login",  # mailutils
        "Permission denied",
        "Access denied",  # MDaemon
        "login fail",  # 163.com
        "authenticating: authentication failure",  # Cyrus
        "Authentication failed. Too many invalid logins",
        "Incorrect login, mailbox will be locked soon",
        "Anmeldung fehlgeschlagen",
        "Échec de l'authentification",
        "Autenticación fallida",
        "Błąd logowania: nie powiodło się",
        "認証に失敗しました",
    ),
    Verdict.SERVER: (
        "Unable to open mailbox",
        "unexpected error accessing mailbox",  # James
        "Unable to locate maildrop",  # Cyrus
        "mailbox is under repair",
        "out of memory",  # Cyrus, qmail
        "backend is down",
        "this mailbox has moved",
        "unable to scan $HOME/Maildir",  # qmail-pop3d
        "chdir Maildir failed",
        "Mailbox is in inconsistent state, please relogin.",  # Dovecot
        "could not connect to LDAP server",
        "user lookup failed",
        "Error reading user data",
        "Unknown error for user reader",
        "Fatal error: can't create mailbox",  # Cyrus
        "I/O error",
        "can't change directory",
        "Failed to authenticate: auth server not responding",
        "Error: user database corrupted",
        "Could not open INBOX: Permission denied",
        "Disk quota exceeded",
        "POP3 service has been permanently discontinued.",  # nate.com
        "Ihr Postfach kann nicht geöffnet werden",
        "Das Postfach wurde verschoben",
        "Impossible d'ouvrir la boîte aux lettres",
        "No se pudo abrir el buzón",
        "Não foi possível abrir a caixa de correio",
        "Impossibile aprire la casella",
        "Nie można otworzyć skrzynki",
        "Не удалось открыть ящик",
        "无法打开邮箱",
        "authenticating: generic failure",  # Cyrus, whose password check is down
        "unable to look up user",
        "could not verify password: KDC unreachable",
        "radius server did not answer",
        "Maildir: No such file or directory",  # Courier
        "Unable to copy mail spool file",  # qpopper
        "Connection failed to backend",
        "Datenbankfehler",
    ),
    Verdict.PASSING: (
        "Temporary problem, please try again later",  # Courier
        "Internal server error",  # nginx
        "Server Unavailable. 21",  # Exchange
        "Authentication failed: service temporarily unavailable",
        "Authentication failure: backend server error",
        "password database unavailable",
        "Maximum number of connections exceeded",
        "system shutting down",
        "Vorübergehender Fehler",
        "Service temporairement indisponible",
        "Error temporal, intente más tarde",
        "Temporaneamente non disponibile",
        "Tijdelijk niet beschikbaar",
        "Tillfälligt fel",
        "Tymczasowo niedostępne",
        "Временная ошибка, попробуйте позже",
        "系统繁忙，请稍后再试",
        "一時的に利用できません",
        "일시적인 오류입니다",
        "Προσωρινό σφάλμα",
        "Тимчасово недоступний",
        "no auth server available",
        "Login failed: server busy",
        "Login failed: too many connections",
    ),
    Verdict.LOCK: (
        "Unable to lock maildrop",  # RFC 1939 §7, PASS
        "maildrop already locked",  # RFC 1939 §7, PASS
        "POP3 maildrop lock busy! Is another session active?",  # qpopper
        "Your mailbox is already locked",  # hMailServer
        "Mailbox is already locked. POP access denied",  # Bongo
        "Login failed: mailbox is already open",
        "Das Postfach ist gesperrt",
        "Postfach wird bereits in Benutzung gemeldet: in Benutzung",
        "Boîte aux lettres verrouillée",
        "Buzón bloqueado",
        "Casella bloccata",
        "Skrzynka jest zablokowana",
        "ящик заблокирован",
        "メールボックスはロックされています",
        "邮箱已被锁定",
        "the mailbox of user reader is locked",
        "mailbox for account reader is locked",
        "El buzón ya está siendo utilizado",
        "The mailbox is currently being accessed by another user",
    ),
    Verdict.LOCKED_ACCOUNT: (
        "Too many invalid logon attempts",  # hMailServer
        "Account locked after too many failed attempts",
        "the account is locked out",
        "Konto gesperrt",
        "Compte bloqué",
        "Учетная запись заблокирована",
        # None of these is the lock of a session, which is tried again within seconds.
        "Your mail account has been locked",
        "Ihr Zugang ist gesperrt",
        "Ihre IP-Adresse ist gesperrt",
        "Accès bloqué",
        "Доступ заблокирован",
        "Účet je uzamčen",
        "Domain locked",
        "mailbox is locked by administrator",
    ),
    Verdict.DELAY: (
        "minimum time between mail checks violation",  # mailutils, qpopper
        "Abruf nur alle 15 Minuten",  # web.de, GMX
        "you log in too often",
    ),
    Verdict.ACCOUNT: (
        "Account is disabled",  # Dovecot
        "account is SUSPENDED. Call for assistance.",
        "Your account is not enabled for POP access",  # Gmail
        "POP3 access is denied for your account: subscription cancelled",
        "Ihr Konto wurde deaktiviert",
    ),
    Verdict.POLICY: (
        "Plaintext authentication disallowed on non-secure (SSL/TLS) connections",  # Dovecot
        "USER command only available under a layer",  # Cyrus
        "Application-specific password required",  # Gmail
        "Web login required: https://support.google.com/mail/answer/78754",  # Gmail
        "Unsupported authentication mechanism.",  # Dovecot
        "your IP is blacklisted",
        "You must use stronger authentication such as AUTH or APOP to connect to this server",  # qpopper
        "Authentication method not supported",
        "authentication mechanism not available",
    ),
    Verdict.NOTHING: ("", "nope", "please go away", "mailbox does not exist", "no"),
}
CASES = [(text, verdict) for verdict, texts in CORPUS.items() for text in texts]


@pytest.mark.parametrize(("text", "verdict"), CASES)
def test_words_tell_what_a_refusal_is_about(text: str, verdict: Verdict) -> None:
    assert verdict_of(text) is verdict


_NEVER = {
    Meaning.WRONG_CREDENTIALS: {Verdict.SERVER, Verdict.PASSING, Verdict.LOCK, Verdict.DELAY},
    Meaning.TEMPORARY: {Verdict.CREDENTIALS, Verdict.LOGIN},
    Meaning.TROUBLE: {Verdict.CREDENTIALS, Verdict.LOGIN},
    Meaning.IN_USE: {Verdict.CREDENTIALS, Verdict.LOGIN},
}


@pytest.mark.parametrize("sentence", [each for each in SENTENCES if each.meaning in _NEVER], ids=str)
def test_no_sentence_of_a_server_is_taken_for_its_opposite(sentence: Sentence) -> None:
    phrase, meaning = sentence.phrase, sentence.meaning
    # With a blank of another kind and a word behind, it is none of the sentences any more: the rules have to tell.
    for text in (phrase, f"{phrase} (#4711)"):
        assert verdict_of(text) not in _NEVER[meaning]


# What the verdict means to whoever retries: the kind of error, whom it is laid to; without and with AUTH-RESP-CODE.
TABLE: tuple[tuple[str, type[Pop3Error], Blame | None, type[Pop3Error], Blame | None], ...] = (
    ("[AUTH] no", AuthFailed, Blame.CODE, AuthFailed, Blame.CODE),
    ("[AUTH] Account exceeded pop command limits", AuthFailed, Blame.UNCLEAR, AuthFailed, Blame.UNCLEAR),
    ("[AUTH] unable to open mailbox", AuthFailed, Blame.UNCLEAR, AuthFailed, Blame.UNCLEAR),
    ("wrong password", AuthFailed, Blame.CREDENTIALS, AuthFailed, Blame.CREDENTIALS),
    ("Login failed", AuthFailed, Blame.CREDENTIALS, ServerTemporary, Blame.UNCLEAR),
    ("nope", AuthFailed, Blame.UNCLEAR, ServerTemporary, Blame.UNCLEAR),
    ("account suspended", AuthFailed, Blame.UNCLEAR, ServerPermanent, Blame.UNCLEAR),
    ("Login failed, try again", ServerTemporary, Blame.UNCLEAR, ServerTemporary, Blame.UNCLEAR),
    ("[AUTH] Login failed, try later", AuthFailed, Blame.UNCLEAR, AuthFailed, Blame.UNCLEAR),
    ("account locked", ServerTemporary, Blame.UNCLEAR, ServerTemporary, Blame.UNCLEAR),
    ("Unable to open mailbox", ServerTemporary, Blame.SERVER, ServerTemporary, Blame.SERVER),
    ("[SYS/PERM] broken for good", ServerPermanent, Blame.SERVER, ServerPermanent, Blame.SERVER),
    ("[SYS/PERM] No such user", ServerPermanent, Blame.CREDENTIALS, ServerPermanent, Blame.CREDENTIALS),
    ("[SYS/TEMP] wrong password", ServerTemporary, None, ServerTemporary, None),
    ("temporarily unavailable", ServerTemporary, None, ServerTemporary, None),
    ("[IN-USE] password", MaildropInUse, None, MaildropInUse, None),
    ("maildrop already locked", MaildropInUse, None, MaildropInUse, None),
    ("[LOGIN-DELAY] wrong password", LoginDelay, None, LoginDelay, None),
    ("[X-ODD] temporarily unavailable", ServerTemporary, None, ServerTemporary, None),
)


@pytest.mark.parametrize(("text", "kind", "blame", "kind_with_code", "blame_with_code"), TABLE)
def test_a_refusal_is_laid_to_whom_the_code_or_the_words_name(
    text: str,
    kind: type[Pop3Error],
    blame: Blame | None,
    kind_with_code: type[Pop3Error],
    blame_with_code: Blame | None,
) -> None:
    error, informed = login_error(text), login_error(text, has_auth_code=True)
    assert (type(error), error.blame) == (kind, blame)
    assert (type(informed), informed.blame) == (kind_with_code, blame_with_code)


@pytest.mark.parametrize("word", ["error in ", "unable to open ", "user ", "bad ", "mailbox ", "x"])
def test_no_words_are_read_for_long(word: str) -> None:
    began = time.process_time()
    verdict_of(word * 4000)
    assert time.process_time() - began < 1  # some milliseconds; without the cut it would take minutes
