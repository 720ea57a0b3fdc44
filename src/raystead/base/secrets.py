"""What looks like a secret in names and in texts, and the same text without it. Pure."""

from __future__ import annotations

import functools
import re

__all__ = ["HIDDEN", "is_secret_flag", "is_secret_name", "masked_text"]

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(passw|passphrase|pwd|secret|token|credential|jwt|bearer|webhook|cookie|signature|api_?key|access_?key"
    r"|private_?key|signing|encryption|connection_?string|(^|[_.-])(pass|key|keys|auth|dsn|pin|salt|sas)$"
    r"|(^|[_.-])(pass|auth)[_.-])",
    re.I,
)
_NO_SECRET = re.compile(r"([_-](path|file|dir|mode)|name)$", re.I)  # where it is, not what it is
_SECRET_WORD = (
    r"[\w.-]*(?:passw|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key|webhook)[\w.-]*"
)
_REDIS = "requirepass|masterauth"
_NAME = rf"(?:{_SECRET_WORD}|\w*_(?:KEY|PASS|DSN|JWT)|JWT)"
# no cluster that is named my-auth
_FLAG = rf"(?<![\w.-])--?(?:{_SECRET_WORD}|{_REDIS}|(?:\w*[_-])?(?:pass|auth|key|pat|dsn|jwt)\b)"
_LONE_FLAG = re.compile(rf"(?:{_FLAG})$", re.I)
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s,;&|]+)"
# Letters and digits in one long word: a token, a hash. Nothing that an exception needs to say.
_RANDOM = re.compile(r"\b(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+=-]{16,}")


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What is replaced by what; compiled when there is a text to mask, which most verbs have not."""
    return (
        (
            re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|\Z)", re.S),
            HIDDEN,
        ),
        (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{4,}", re.I), rf"\1 {HIDDEN}"),
        (re.compile(r"(://)[^/\s:@'\"]*:[^/\s'\"]*(@)"), rf"\1{HIDDEN}\2"),  # the password may hold an @
        (re.compile(r"(://)[\w-]{16,}(@)"), rf"\1{HIDDEN}\2"),  # a token in the place of a user
        (re.compile(r"(://hooks\.[\w.-]+/)[^\s'\"]+"), rf"\1{HIDDEN}"),
        (
            re.compile(r"([?&](?:sig|sign|signature|token|key|code|password|X-Amz-\w+)=)[^&\s'\"]+", re.I),
            rf"\1{HIDDEN}",
        ),
        # --token=x, --token x; not --token "$TOKEN", which says where it comes from
        (re.compile(rf"((?:{_FLAG})(?:=|[ \t]+))(?![\"']?\$){_VALUE}", re.I), rf"\1{HIDDEN}"),
        # a program's own: curl -u me:x, mysql -px9, redis-cli -a x, docker login -p x; and `requirepass x`
        (re.compile(r"((?<!\S)(?:-u|--user)[= ]?[\"']?[\w.@-]+:)(?!\d+\b|\$)[^\s'\"]+"), rf"\1{HIDDEN}"),
        (re.compile(r"((?<!\S)-p)(?=\S*\d)(?=\S*[A-Za-z])[^\s=/.:,-]{6,}"), rf"\1{HIDDEN}"),
        (
            re.compile(rf"(\b(?:redis-cli|valkey-cli)\b[^\n;|&]*?\s-a[ \t]+)(?![\"']?\$){_VALUE}"),
            rf"\1{HIDDEN}",
        ),
        (re.compile(rf"(\b(?:login|sshpass)\b[^\n;|&]*?\s-p[ \t]+)(?![\"']?\$){_VALUE}"), rf"\1{HIDDEN}"),
        (re.compile(rf"(\b(?:{_REDIS})[ \t]+)(?![\"']?\$){_VALUE}", re.I), rf"\1{HIDDEN}"),
        # NAME=x, "name": "x", and a line `name: x`
        (re.compile(rf"(\b{_NAME}[\"']?\s*=\s*)(?![\"']?\$|\*\*\*){_VALUE}", re.I), rf"\1{HIDDEN}"),
        (re.compile(rf"(\b{_NAME}[\"']?\s*:\s*)(\"[^\"]*\"|'[^']*')", re.I), rf"\1{HIDDEN}"),
        (re.compile(rf"^(\s*{_NAME}:\s+)\S+$", re.I | re.M), rf"\1{HIDDEN}"),
        (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]*)?"), HIDDEN),  # a JWT
        (
            re.compile(
                r"\b(gh[pousr]_|github_pat_|xox[abeprs]-|hf_|sk-|[srp]k_(?:live|test)_|gl(?:pat|rt|dt)-|glsa_|AKIA|ASIA"
                r"|AIza|hv[sbr]\.|npm_|pypi-|dop_v1_|shpat_|dapi|nvapi-|ya29\.|SG\.|AGE-SECRET-KEY-)[\w.-]{12,}"
            ),
            HIDDEN,
        ),
    )


def is_secret_name(name: str) -> bool:
    """The name of a variable, key or field whose value is nobody's business."""
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET.search(name)


def is_secret_flag(word: str) -> bool:
    """An option whose value is the next word: `--api-key`."""
    return bool(_LONE_FLAG.match(word))


def masked_text(text: str, *, random: bool = False) -> str:
    """The text without keys in PEM, passwords in URLs, tokens and values of secret options.

    Args:
        random: mask every long word of letters and digits as well (texts of exceptions).
    """
    for pattern, shown in _patterns():
        text = pattern.sub(shown, text)
    return _RANDOM.sub(HIDDEN, text) if random else text
