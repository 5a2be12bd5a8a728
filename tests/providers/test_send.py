"""Each provider through its official SDK over HTTP: one request, its contents, and what every failure means."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import python_http_client  # type: ignore[import-untyped] # the SDK has no types

from activities.providers.base import Accepted, AmbiguousSendError, NotProcessed, Rejected, RejectionKind
from activities.providers.sendgrid import SendGridEmail
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.providers.conftest import (
    AT,
    CHANNELS,
    CREATE,
    ERRORS,
    KEY,
    MAILBOX,
    MAKERS,
    PERSON,
    SERVICE,
    message,
    sendgrid_settings,
)

each_channel = pytest.mark.parametrize("channel", CHANNELS)


def _form(fake: FakeClient) -> dict[str, list[str]]:
    (sent,) = fake.journal()
    return parse_qs(sent.body.decode(), keep_blank_values=True)


# --- what is asked ----------------------------------------------------------------------------------------------


@each_channel
def test_one_request_is_made_and_its_id_comes_back(fake: FakeClient, channel: Channel) -> None:
    result = MAKERS[channel](fake.url).send(message(channel))
    state = fake.state()
    (one,) = state["messages"] + state["calls"] + state["emails"]
    assert result == Accepted(one.get("sid") or one["id"])
    assert fake.totals()["requests"] == fake.totals()["processed"] == {KEY: 1}


def test_a_text_message_carries_sender_validity_and_a_callback_address_with_its_key(fake: FakeClient) -> None:
    MAKERS[Channel.SMS](fake.url, public_url="https://dunlin.example").send(message(Channel.SMS))
    form = _form(fake)
    assert (form["To"], form["From"], form["ValidityPeriod"]) == ([PERSON], ["+13125550001"], ["3600"])
    callback = urlsplit(form["StatusCallback"][0])
    assert f"{callback.scheme}://{callback.netloc}{callback.path}" == "https://dunlin.example/twilio/message-status"
    assert parse_qs(callback.query) == {"attempt": [KEY]}
    assert callback.query == "attempt=A000000001%2F1%2F7%20%C3%A4%26%3D"
    assert callback.fragment == "rc=3&rp=5xx,ct,rt"


def test_a_messaging_service_takes_the_place_of_a_number(fake: FakeClient) -> None:
    provider = MAKERS[Channel.SMS](fake.url, sms_from=None, messaging_service_sid=SERVICE)
    assert isinstance(provider.send(message(Channel.SMS)), Accepted)
    assert _form(fake)["MessagingServiceSid"] == [SERVICE]
    assert "From" not in _form(fake)


@pytest.mark.parametrize(("left", "validity"), [(16, 1), (15 + 1800, 1800), (15 + 3600, 3600), (7 * 86_400, 3600)])
def test_a_text_message_may_not_wait_beyond_its_latest_instant(fake: FakeClient, left: int, validity: int) -> None:
    MAKERS[Channel.SMS](fake.url).send(message(Channel.SMS, latest=AT + timedelta(seconds=left)))
    assert _form(fake)["ValidityPeriod"] == [str(validity)]


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize("left", [-5, 0, 15])
def test_nothing_is_asked_when_it_could_only_arrive_too_late(fake: FakeClient, channel: Channel, left: int) -> None:
    result = MAKERS[channel](fake.url).send(message(channel, latest=AT + timedelta(seconds=left)))
    assert isinstance(result, NotProcessed)
    assert result.code == "too_late"
    assert fake.journal() == []


@each_channel
def test_nobody_to_reach_is_a_bad_contact_point_and_no_request(fake: FakeClient, channel: Channel) -> None:
    assert MAKERS[channel](fake.url).send(message(channel, recipient="")) == Rejected(
        "no_recipient", bad_contact_point=True
    )
    assert fake.journal() == []


def test_a_call_asks_for_its_dialogue_detection_and_every_event(fake: FakeClient) -> None:
    provider = MAKERS[Channel.VOICE](fake.url, public_url="https://dunlin.example/hooks", answering_machines="async")
    provider.send(message(Channel.VOICE, latest=AT + timedelta(seconds=25)))
    form = _form(fake)
    encoded = "attempt=A000000001%2F1%2F7%20%C3%A4%26%3D"
    assert form["Url"] == [f"https://dunlin.example/hooks/twilio/voice?{encoded}"]
    assert form["StatusCallback"] == [f"https://dunlin.example/hooks/twilio/call-status?{encoded}#rc=3&rp=5xx,ct,rt"]
    assert form["AsyncAmdStatusCallback"][0].startswith(f"https://dunlin.example/hooks/twilio/call-machine?{encoded}")
    assert form["StatusCallbackEvent"] == ["initiated", "ringing", "answered", "completed"]
    assert (form["MachineDetection"], form["AsyncAmd"]) == (["DetectMessageEnd"], ["true"])
    assert form["Timeout"] == ["10"]  # it may ring no longer than the window is open
    assert "Twiml" not in form
    assert not [value for values in form.values() for value in values if "past due" in value]


def test_an_email_is_text_and_html_with_one_click_and_ids_only_beside_them(fake: FakeClient) -> None:
    settings = sendgrid_settings(
        fake.url, "https://dunlin.example", unsubscribe_email="stop@lender.example", asm_group_id=7
    )
    SendGridEmail(settings, ERRORS).send(message(Channel.EMAIL, subject="Your\r\nBcc: x@y.example account"))
    (sent,) = fake.journal()
    body = json.loads(sent.body)
    (person,) = body["personalizations"]
    assert person == {"to": [{"email": MAILBOX, "name": "Pat Doe"}], "custom_args": {"attempt": KEY}}
    assert body["subject"] == "Your Bcc: x@y.example account"
    assert [one["type"] for one in body["content"]] == ["text/plain", "text/html"]
    assert "is past due &lt;b&gt;.<br>Thank you.</p>" in body["content"][1]["value"]
    link = body["headers"]["List-Unsubscribe"]
    assert link.startswith("<https://dunlin.example/unsubscribe?attempt=A000000001%2F1%2F7%20%C3%A4%26%3D&seal=")
    assert link.endswith(">, <mailto:stop@lender.example?subject=unsubscribe>")
    assert body["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert body["asm"] == {"group_id": 7}
    assert body["tracking_settings"]["click_tracking"] == {"enable": False, "enable_text": False}
    outside = json.dumps({name: body[name] for name in ("categories", "headers", "from")})
    assert not [secret for secret in (MAILBOX, "Pat", "Doe", "L1", "100.00") if secret in outside]


def test_the_sandbox_of_sendgrid_checks_and_delivers_nothing(fake: FakeClient) -> None:
    result = MAKERS[Channel.EMAIL](fake.url, sandbox=True).send(message(Channel.EMAIL))
    assert result == Accepted(f"attempt:{KEY}")
    assert fake.state()["emails"] == []


# --- what goes wrong --------------------------------------------------------------------------------------------


@each_channel
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"kind": "drop", "processed": True}, "dropped"),
        ({"kind": "drop"}, "dropped"),
        ({"kind": "reset", "processed": True}, "dropped"),
        ({"kind": "answer", "status": 500, "processed": True}, "http_500"),
        ({"kind": "answer", "status": 503}, "http_503"),
        ({"kind": "answer", "status": 502, "html": True}, "http_502"),
        ({"kind": "answer", "status": 408}, "http_408"),
    ],
)
def test_what_may_have_been_processed_is_ambiguous_and_asked_once(
    fake: FakeClient, channel: Channel, fault: dict[str, object], text: str
) -> None:
    fake.ask("rules", [{"on": CREATE[channel], "fault": fault}])
    with pytest.raises(AmbiguousSendError) as raised:
        MAKERS[channel](fake.url).send(message(channel))
    assert str(raised.value) == text
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    assert fake.counted(f"{CREATE[channel]}.requests") == 1
    assert fake.counted(f"{CREATE[channel]}.processed") == (1 if fault.get("processed") else 0)


@each_channel
def test_an_answer_that_does_not_come_in_time_is_ambiguous(fake: FakeClient, channel: Channel) -> None:
    fake.fault("hold", CREATE[channel])
    with pytest.raises(AmbiguousSendError, match="timeout"):
        MAKERS[channel](fake.url, timeout_seconds=0.4).send(message(channel))
    fake.release()
    assert fake.counted(f"{CREATE[channel]}.requests") == fake.counted(f"{CREATE[channel]}.processed") == 1


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
@pytest.mark.parametrize(
    "fault", [{"kind": "garble"}, {"kind": "answer", "status": 201, "html": True, "processed": True}]
)
def test_an_acceptance_that_cannot_be_read_is_ambiguous(
    fake: FakeClient, channel: Channel, fault: dict[str, object]
) -> None:
    fake.ask("rules", [{"fault": fault}])
    with pytest.raises(AmbiguousSendError, match="unreadable_answer"):
        MAKERS[channel](fake.url).send(message(channel))


@each_channel
@pytest.mark.parametrize(("asked", "seconds"), [("7", 7), ("90000", 86_400), ("0", 1)])
def test_too_many_requests_waits_as_long_as_the_server_says(
    fake: FakeClient, channel: Channel, asked: str, seconds: int
) -> None:
    fake.fault("answer", CREATE[channel], status=429, code=20429, headers={"Retry-After": asked})
    result = MAKERS[channel](fake.url).send(message(channel))
    assert isinstance(result, NotProcessed)
    assert result.retry_after == timedelta(seconds=seconds)
    assert fake.counted(f"{CREATE[channel]}.requests") == 1


@each_channel
def test_too_many_requests_without_a_wait_gets_one_of_ours_spread_by_key(fake: FakeClient, channel: Channel) -> None:
    fake.fault("answer", CREATE[channel], status=429, times=2)
    provider = MAKERS[channel](fake.url)
    waits = {provider.send(message(channel, attempt_key=key)).retry_after for key in ("K/1/1", "K/1/2")}  # type: ignore[union-attr]
    assert len(waits) == 2
    assert all(timedelta(seconds=30) <= wait <= timedelta(seconds=45) for wait in waits)


@each_channel
def test_the_wait_of_one_answer_is_not_taken_for_the_next(fake: FakeClient, channel: Channel) -> None:
    fake.fault("answer", CREATE[channel], status=429, headers={"Retry-After": "77"})
    fake.fault("answer", CREATE[channel], status=429)
    provider = MAKERS[channel](fake.url)
    first, second = provider.send(message(channel)), provider.send(message(channel))
    assert isinstance(first, NotProcessed)
    assert isinstance(second, NotProcessed)
    assert first.retry_after == timedelta(seconds=77)
    assert second.retry_after <= timedelta(seconds=45)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port of ours on which nobody listens."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        yield plug.getsockname()[1]


@each_channel
def test_a_refused_connection_proves_that_nothing_was_sent(channel: Channel, closed_port: int) -> None:
    result = MAKERS[channel](f"http://127.0.0.1:{closed_port}").send(message(channel))
    assert isinstance(result, NotProcessed)
    assert result.code == "refused"
    assert timedelta(minutes=1) <= result.retry_after <= timedelta(minutes=2)


@each_channel
def test_a_name_that_does_not_resolve_proves_that_nothing_was_sent(channel: Channel) -> None:
    result = MAKERS[channel]("https://nowhere.invalid").send(message(channel))
    assert isinstance(result, NotProcessed)
    assert result.code == "dns"


@each_channel
def test_a_handshake_that_fails_is_no_processing(channel: Channel, fake: FakeClient) -> None:
    """The fake speaks no TLS: SendGrid's transport can prove that nothing left, Twilio's says it does not know."""
    provider = MAKERS[channel](fake.url.replace("http://", "https://"))
    if channel is Channel.EMAIL:
        assert isinstance(provider.send(message(channel)), NotProcessed)
    else:
        with pytest.raises(AmbiguousSendError):
            provider.send(message(channel))
    assert fake.counters() == {}


@each_channel
def test_a_redirect_is_not_followed(fake: FakeClient, channel: Channel) -> None:
    fake.fault("redirect", CREATE[channel], location=f"{fake.url}/elsewhere", times=None)
    result = MAKERS[channel](fake.url).send(message(channel))
    assert isinstance(result, Rejected)
    assert (result.code, result.kind) == ("http_302", RejectionKind.CONFIGURATION)
    assert len(fake.journal()) == 1


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_problem_documents_are_understood_like_the_older_errors(fake: FakeClient, channel: Channel) -> None:
    fake.fault("answer", CREATE[channel], status=400, code=21610, problem=True)
    result = MAKERS[channel](fake.url).send(message(channel))
    assert isinstance(result, Rejected)
    assert (result.kind, result.consent_withdrawn) == (RejectionKind.OPT_OUT, True)


@each_channel
def test_wrong_credentials_are_a_matter_of_configuration(fake: FakeClient, channel: Channel) -> None:
    change = {"api_key": "SG.other"} if channel is Channel.EMAIL else {"auth_token": "other"}
    result = MAKERS[channel](fake.url, **change).send(message(channel))
    assert isinstance(result, Rejected)
    assert (result.kind, result.bad_contact_point) == (RejectionKind.CONFIGURATION, False)


def test_a_refusal_never_passes_on_what_the_provider_wrote(fake: FakeClient) -> None:
    for channel, recipient in ((Channel.SMS, "+12"), (Channel.VOICE, "+12"), (Channel.EMAIL, "pat.doe")):
        result = MAKERS[channel](fake.url).send(message(channel, recipient=recipient))
        assert isinstance(result, Rejected)
        assert result.bad_contact_point
        assert recipient not in result.code
        assert recipient in fake.journal()[-1].answer_body.decode()  # the provider did quote it


# --- threads ----------------------------------------------------------------------------------------------------


@each_channel
def test_threads_share_a_provider_and_nothing_leaks_between_their_requests(fake: FakeClient, channel: Channel) -> None:
    provider, start = MAKERS[channel](fake.url), threading.Barrier(8)
    results: list[tuple[str, object]] = []

    def run(number: int) -> None:
        start.wait()
        for turn in range(5):
            key = f"K/{number}/{turn}"
            results.append((key, provider.send(message(channel, attempt_key=key))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    state = fake.state()
    known = {
        one["attempt"]: one.get("sid") or one["id"] for one in state["messages"] + state["calls"] + state["emails"]
    }
    assert len(known) == 40
    assert {key: result.provider_id for key, result in results if isinstance(result, Accepted)} == known
    for sent in fake.journal():
        form = dict(parse_qsl(sent.body.decode())) if channel is not Channel.EMAIL else {}
        key = (
            json.loads(sent.body)["personalizations"][0]["custom_args"]["attempt"]
            if channel is Channel.EMAIL
            else parse_qs(urlsplit(form["StatusCallback"]).query)["attempt"][0]
        )
        assert json.loads(sent.answer_body or "{}").get("sid", known[key]) == known[key]
        assert "x-message" not in sent.headers


def test_headers_of_one_email_request_do_not_stay_for_the_next(fake: FakeClient) -> None:
    provider = MAKERS[Channel.EMAIL](fake.url)
    assert isinstance(provider, SendGridEmail)
    with pytest.raises(python_http_client.exceptions.BadRequestsError):
        provider._api.client.mail.send.post(request_body={}, request_headers={"X-Of-One-Request": "1"})
    provider.send(message(Channel.EMAIL))
    first, second = fake.journal()
    assert first.headers["x-of-one-request"] == "1"
    assert "x-of-one-request" not in second.headers
