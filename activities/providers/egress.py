"""How the official SDKs reach the network: one request, no proxy, no redirect, no address but the one that is set.

Both SDKs come with habits that are wrong here. Twilio's waits for ever, logs recipients and builds its host from the
environment; SendGrid's shares one dictionary of headers among all requests, obeys proxy variables and logs whole
messages. What stands here replaces their transport and nothing else. Failures leave it in two kinds: proof that the
request never left (``NeverSentError``), or no proof (``AmbiguousSendError``); neither text holds an address.
"""

import http.client
import logging
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit, urlunsplit

import python_http_client  # type: ignore[import-untyped] # the SDK has no types
import requests
import urllib3.exceptions
from twilio.http import HttpClient
from twilio.http.response import Response

from activities.providers.base import AmbiguousSendError

CONNECT_SECONDS = 4.0
IDLE_SECONDS = 10.0
"""A connection kept longer may be gone at the other end, and a request lost on it would look ambiguous."""
_TWILIO = "twilio.com"
_TALKATIVE = ("urllib3.connectionpool", "python_http_client.client", "twilio.http_client")


class NeverSentError(Exception):
    """The request did not leave: no connection was made. The text is a short code."""


def quiet_transports() -> None:
    """Keep the libraries below from logging addresses and messages, whatever level the program logs at."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def server_wait(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the server asks to wait: ``Retry-After`` in seconds or as a date, or SendGrid's reset instant."""
    now = _instant(headers.get("Date")) or time.time()
    asked = headers.get("Retry-After")
    if asked is not None:
        if asked.strip().isdigit():
            return timedelta(seconds=min(int(asked), 86_400))
        until = _instant(asked)
        return None if until is None else timedelta(seconds=max(0.0, min(until - now, 86_400)))
    reset = headers.get("X-RateLimit-Reset")
    if reset is not None and reset.strip().isdigit():
        return timedelta(seconds=max(0.0, min(int(reset) - now, 86_400)))
    return None


def _instant(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


# --- Twilio -----------------------------------------------------------------------------------------------------


class TwilioTransport(HttpClient):  # type: ignore[misc] # the SDK has no types
    """Carries the Twilio SDK's requests. Threads share it; each has its own connections.

    With a ``base_url`` every request goes there, whatever host the SDK built; without one only hosts of Twilio are
    reached. ``timeout`` is the longest a request may take, in seconds: connecting and the answer together.
    """

    def __init__(self, base_url: str | None, timeout: float) -> None:
        super().__init__(logging.getLogger("twilio.http_client"), is_async=False, timeout=timeout)
        quiet_transports()
        self._base = None if base_url is None else urlsplit(base_url)
        connect = min(CONNECT_SECONDS, timeout / 4)
        self._timeouts = (connect, timeout - connect)
        self._local = threading.local()

    @property
    def wait(self) -> timedelta | None:
        """What the last answer to this thread asked us to wait."""
        found = getattr(self._local, "wait", None)
        return found if isinstance(found, timedelta) else None

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, Any] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Make one request. The SDK's own ``timeout`` and ``allow_redirects`` do not count: ours always do."""
        del timeout, allow_redirects
        try:
            answer = self._session().request(
                method.upper(),
                self._target(url),
                params=params,
                data=data,
                headers=headers,
                auth=auth,
                timeout=self._timeouts,
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            raise _told(error) from None
        self._local.wait = server_wait(answer.headers)
        self._local.used = time.monotonic()
        return Response(answer.status_code, answer.content.decode("utf-8", "replace"), answer.headers)

    def _target(self, url: str) -> str:
        parts = urlsplit(url)
        if self._base is not None:
            path = self._base.path.rstrip("/") + parts.path
            return urlunsplit((self._base.scheme, self._base.netloc, path, parts.query, ""))
        host = parts.hostname or ""
        if parts.scheme != "https" or not (host == _TWILIO or host.endswith(f".{_TWILIO}")):
            raise NeverSentError("foreign_host")
        return url

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        now = time.monotonic()
        if session is not None and now - self._local.used > IDLE_SECONDS:
            session.close()
            session = None
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._local.session = session
        self._local.used = now
        return session


def _told(error: requests.exceptions.RequestException) -> Exception:
    """Turn a failure of the transport into what it proves."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NeverSentError("connect_timeout")
    for cause in _causes(error):
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return NeverSentError("dns")
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return NeverSentError("refused")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NeverSentError("tls")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return NeverSentError("address")
    if isinstance(error, requests.exceptions.Timeout):
        return AmbiguousSendError("timeout")
    return AmbiguousSendError("dropped")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    open_ends: list[object] = [error]
    while open_ends:
        one = open_ends.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        open_ends += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


# --- SendGrid ---------------------------------------------------------------------------------------------------


class _Connection(http.client.HTTPConnection):
    """A connection that says when it was never made."""

    def connect(self) -> None:
        with _Connecting():
            super().connect()


class _TlsConnection(http.client.HTTPSConnection):
    """As above; a handshake that fails comes before the request too."""

    def connect(self) -> None:
        with _Connecting():
            super().connect()


class _Connecting:
    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, socket.gaierror):
            raise NeverSentError("dns") from None
        if isinstance(error, TimeoutError):
            raise NeverSentError("connect_timeout") from None
        if isinstance(error, ssl.SSLError):
            raise NeverSentError("tls") from None
        if isinstance(error, OSError):
            raise NeverSentError("refused") from None


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Tls(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req, context=self._context)  # type: ignore[attr-defined]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class SendGridTransport(python_http_client.Client):  # type: ignore[misc] # the SDK has no types
    """Carries the SendGrid SDK's requests. Every request has headers of its own, so threads may share it."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the SDK's own options
        super().__init__(**options)
        quiet_transports()

    def _build_client(self, name: str | None = None) -> "SendGridTransport":
        return SendGridTransport(
            host=self.host,
            version=self._version,
            request_headers=dict(self.request_headers),
            url_path=[*self._url_path, name] if name else list(self._url_path),
            append_slash=self.append_slash,
            timeout=self.timeout,
        )

    def _make_request(self, opener: object, request: urllib.request.Request, timeout: float | None = None) -> object:  # noqa: ARG002 - the SDK's opener obeys proxies and redirects
        own = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Plain, _Tls, _NoRedirect)
        try:
            return super()._make_request(own, request, timeout)
        except python_http_client.exceptions.HTTPError:
            raise
        except TimeoutError:
            raise AmbiguousSendError("timeout") from None
        except URLError as error:
            raise AmbiguousSendError("timeout" if isinstance(error.reason, TimeoutError) else "dropped") from None
        except (OSError, http.client.HTTPException):
            raise AmbiguousSendError("dropped") from None
