"""Content negotiation: the media types of a request's body and of its response (RFC 9110)."""

import json
from collections.abc import Iterable
from functools import lru_cache

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats.encoders import ALIASES, ENCODERS, Encoder

# Characters of an `Accept` header that SageMaker takes.
MAX_ACCEPT_CHARACTERS = 1024
# Characters of a value that a message quotes, so that it stays one sentence.
QUOTED_CHARACTERS = 60


class UnsupportedMediaTypeError(UserError):
    """No decoder for the body's media type, charset or coding: HTTP 415."""


class NotAcceptableError(UserError):
    """No encoder for any media type that the request accepts: HTTP 406."""


@lru_cache
def encoder(accept: str | None) -> Encoder:
    """Choose the encoder of the response from an `Accept` header.

    Of the media types with the highest weight it takes the first that the header names, and of
    those that a wildcard names the first of `ENCODERS`; CSV without a header. A response in a type
    that the header names by an alias bears the alias.

    Raises
    ------
    UserError
        If the header is longer than SageMaker's limit.
    NotAcceptableError
        If the header excludes every media type there is.

    Examples
    --------
    >>> encoder("application/json, text/csv;q=0.5").media_type
    'application/json'
    """
    if len(accept or "") > MAX_ACCEPT_CHARACTERS:
        raise UserError(
            f"Accept has {len(accept or ''):,} characters; send {MAX_ACCEPT_CHARACTERS:,} at most"
        )
    ranges = parse_accept_header(accept or "*/*", MIMEAccept)
    best = _best_match(MIMEAccept([(name.partition(";")[0], weight) for name, weight in ranges]))
    if best is None:
        raise NotAcceptableError(f"Accept is {quoted(accept)}; ask for {alternatives(ENCODERS)}")
    return Encoder(best, ENCODERS[ALIASES.get(best, best)])


def _best_match(accepted: MIMEAccept) -> str | None:
    """Media type of the highest weight, of several the one whose range the header names first."""
    qualities = {name: accepted.quality(name) for name in [*ENCODERS, *ALIASES]}
    highest = max(qualities.values())
    if highest <= 0:
        return None
    candidates = [name for name, quality in qualities.items() if quality == highest]
    # Werkzeug sorts specific ranges before wildcards, and keeps the header's order otherwise.
    for media_range, _ in accepted:
        for name in candidates:
            if MIMEAccept([(media_range, 1.0)]).quality(name):
                return name
    return candidates[0]


@lru_cache
def parse_content_type(content_type: str | None) -> tuple[str, str]:
    """Media type, without alias, and charset of a `Content-Type` header; "" for what it lacks."""
    name, parameters = parse_options_header(content_type)
    media_type = name.strip().lower()
    return ALIASES.get(media_type, media_type), parameters.get("charset", "").strip("' ").lower()


@lru_cache
def csv_header(content_type: str | None) -> bool | None:
    """Whether the body begins with a header (RFC 4180, section 3); None if that is not said.

    Raises
    ------
    UserError
        If the parameter is neither of its two words.
    """
    word = parse_options_header(content_type)[1].get("header")
    if word is None:
        return None
    if word.strip().lower() not in {"present", "absent"}:
        raise UserError(f"Content-Type has the header {quoted(word)}; send present or absent")
    return word.strip().lower() == "present"


def quoted(value: object) -> str:
    """JSON text of a value, cut to what a sentence can hold."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"


def alternatives(names: Iterable[str]) -> str:
    """Names with commas, and "or" before the last."""
    *others, last = names
    return f"{', '.join(others)} or {last}"
