"""What providers tell us, as the fake tells it: signed so that the official verifiers agree, late, twice, reversed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from activities.providers.base import Accepted, Rejected
from activities.providers.reports import call_report, email_report, message_report
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.fakes.state import Config
from tests.providers.conftest import ACCOUNT, ERRORS, KEY, MAKERS, PERSON, Application, Received, message

SMS, VOICE, EMAIL = Channel.SMS, Channel.VOICE, Channel.EMAIL


def _form(one: Received) -> dict[str, str]:
    return dict(parse_qsl(one.body.decode(), keep_blank_values=True))


def _told(application: Application, field: str = "MessageStatus") -> list[str]:
    return [_form(one)[field] for one in application.received]


def _send(fake: FakeClient, application: Application, channel: Channel = SMS, **change: object) -> str:
    result = MAKERS[channel](fake.url, public_url=application.url, **change).send(message(channel))
    assert isinstance(result, Accepted)
    return result.provider_id


def _events(application: Application) -> list[dict[str, object]]:
    return [event for one in application.received for event in json.loads(one.body)]


# --- Twilio -----------------------------------------------------------------------------------------------------


def test_callbacks_are_signed_for_the_public_address_and_any_change_shows(
    fake: FakeClient, application: Application
) -> None:
    public = "https://dunlin.example/hooks"
    fake.configure(auto=True, deliver_to={public: application.url})
    MAKERS[SMS](fake.url, public_url=public).send(message(SMS))
    fake.flush()
    validator = RequestValidator(ACCOUNT.auth_token)
    assert _told(application) == ["sent", "delivered"]
    for one in application.received:
        form, signature = _form(one), one.headers["X-Twilio-Signature"]
        assert validator.validate(public + one.path, form, signature)
        assert not validator.validate(application.url + one.path, form, signature)
        assert not validator.validate(public + one.path + "x", form, signature)
        assert not validator.validate(public + one.path, {**form, "To": "+13125550199"}, signature)
        assert not RequestValidator("other").validate(public + one.path, form, signature)


def test_a_callback_can_come_before_the_answer_and_carries_the_key(fake: FakeClient, application: Application) -> None:
    fake.rule("messages.create", early=True, life=[{"status": "delivered"}])
    sid = _send(fake, application)
    (one,) = application.received  # no waiting: it came before the answer
    assert _form(one)["MessageSid"] == sid
    assert one.path == "/twilio/message-status?attempt=A000000001%2F1%2F7%20%C3%A4%26%3D"
    report = message_report(KEY, _form(one), ERRORS)
    assert report is not None
    assert (report.status, report.provider_id) == ("delivered", sid)


@pytest.mark.parametrize(
    ("rule", "told", "status"),
    [
        ({"life": [{"status": "sent"}]}, ["sent"], "sent"),
        ({"life": [{"status": "sent", "times": 2}]}, ["sent", "sent"], "sent"),
        ({"life": [{"status": "sent"}, {"status": "delivered"}], "reorder": True}, ["delivered", "sent"], "delivered"),
        (
            {"life": [{"status": "undelivered", "error_code": 30005}, {"status": "sent"}]},
            ["undelivered", "sent"],
            "undelivered",
        ),
        ({"life": []}, [], "queued"),
    ],
)
def test_lives_of_a_text_message(
    fake: FakeClient, application: Application, rule: dict[str, object], told: list[str], status: str
) -> None:
    fake.rule("messages.create", **rule)
    _send(fake, application)
    fake.flush()
    assert _told(application) == told
    assert fake.state()["messages"][0]["status"] == status


def test_a_lost_answer_still_brings_its_callbacks(fake: FakeClient, application: Application) -> None:
    fake.configure(auto=True)
    fake.fault("drop", "messages.create", processed=True)
    with pytest.raises(Exception, match="dropped"):
        _send(fake, application)
    fake.flush()
    assert _told(application) == ["sent", "delivered"]
    assert all("attempt=" in one.path for one in application.received)


def test_a_callback_that_fails_comes_again_under_one_token_and_not_for_ever(
    fake: FakeClient, application: Application
) -> None:
    sid = _send(fake, application)
    application.answers = [500, 502, 200]
    fake.advance(sid, {"status": "sent"})
    fake.flush()
    assert len({one.headers["I-Twilio-Idempotency-Token"] for one in application.received}) == 1
    assert _told(application) == ["sent"] * 3
    application.answers = [500] * 20
    fake.advance(sid, {"status": "delivered"})
    fake.flush()
    assert _told(application)[3:] == ["delivered"] * 4
    assert fake.counted("callbacks.abandoned") == 1


def test_nothing_is_ever_delivered_off_loopback(fake: FakeClient) -> None:
    fake.configure(auto=True)
    MAKERS[SMS](fake.url, public_url="https://dunlin.example").send(message(SMS))
    fake.flush()
    assert fake.counted("callbacks.blocked") == 2
    assert fake.counted("callbacks.delivered") == 0
    with pytest.raises(ValueError, match="not on loopback"):
        fake.ask("deliver", {"url": "http://dunlin.example/x"})


def test_a_stop_is_told_and_kept_and_the_next_message_refused(fake: FakeClient, application: Application) -> None:
    fake.configure(message_url=f"{application.url}/twilio/message")
    provider = MAKERS[SMS](fake.url, public_url=application.url)
    for body, kind in (("Stop", "STOP"), ("hello", None), ("START", "START")):
        fake.ask("message", {"from": PERSON, "to": "+13125550001", "body": body})
        fake.flush()
        form = _form(application.received[-1])
        assert (form["Body"], form.get("OptOutType")) == (body, kind)
        result = provider.send(message(SMS))
        assert isinstance(result, Accepted if kind == "START" else Rejected)
        assert not isinstance(result, Rejected) or result.consent_withdrawn


# --- calls ------------------------------------------------------------------------------------------------------

_TWIML = "<Response><Gather numDigits='1' action='/next'><Say>Press 1</Say></Gather><Say>Bye</Say></Response>"


def test_a_call_is_lived_through_the_applications_twiml(fake: FakeClient, application: Application) -> None:
    application.twiml = lambda path, _: _TWIML if "/voice" in path else "<Response><Hangup/></Response>"
    sid = _send(fake, application, VOICE)
    ended = fake.call(sid, person={"digits": ["1"]})
    assert ended["transcript"] == [{"said": "Press 1", "language": "en"}, {"pressed": "1"}]
    reports = [call_report(KEY, _form(one), ERRORS) for one in application.received if "call-status" in one.path]
    assert [one.status for one in reports if one is not None] == ["sent", "sent", "sent", "answered"]
    asked = [_form(one) for one in application.received if "call-status" not in one.path]
    assert [one.get("AnsweredBy") for one in asked] == ["human", None]
    assert asked[1]["Digits"] == "1"


@pytest.mark.parametrize(
    ("outcome", "told"),
    [("busy", ["initiated", "ringing", "busy"]), ("no-answer", ["initiated", "ringing", "no-answer"])],
)
def test_a_call_nobody_takes(fake: FakeClient, application: Application, outcome: str, told: list[str]) -> None:
    sid = _send(fake, application, VOICE)
    assert fake.call(sid, person={"outcome": outcome})["status"] == outcome
    assert _told(application, "CallStatus") == told


def test_reports_of_a_call_can_come_in_the_opposite_order(fake: FakeClient, application: Application) -> None:
    fake.rule("calls.create", reorder=True)
    application.twiml = lambda *_: "<Response/>"
    fake.call(_send(fake, application, VOICE))
    told = [_form(one)["CallStatus"] for one in application.received if "call-status" in one.path]
    assert told == ["completed", "in-progress", "ringing", "initiated"]


def test_a_machine_found_out_later_is_told_and_the_call_redirected(fake: FakeClient, application: Application) -> None:
    provider = MAKERS[VOICE](fake.url, public_url=application.url, answering_machines="async")
    sent = provider.send(message(VOICE))
    assert isinstance(sent, Accepted)

    def answer(path: str, body: bytes) -> str:
        if "call-machine" in path:
            assert b"AnsweredBy=machine_end_beep" in body
            assert provider.redirect(sent.provider_id, KEY, "machine")  # type: ignore[union-attr]
            return ""
        return "<Response><Say>Left</Say></Response>" if "stage=machine" in path else _TWIML

    application.twiml = answer
    ended = fake.call(sent.provider_id, person={"answered_by": "machine_end_beep", "digits": ["1"]})
    assert ended["transcript"] == [{"said": "Left", "language": "en"}]


def test_a_dialogue_that_never_ends_is_ended(fake: FakeClient, application: Application) -> None:
    application.twiml = lambda *_: "<Response><Redirect>/again</Redirect></Response>"
    fake.call(_send(fake, application, VOICE))
    assert fake.counted("calls.endless") == 1


# --- SendGrid ---------------------------------------------------------------------------------------------------


def test_batches_of_events_are_signed_over_their_raw_bytes(fake: FakeClient, application: Application) -> None:
    key = fake.configure(auto=True, event_url=f"{application.url}/sendgrid/events")["webhook_key"]
    _send(fake, application, EMAIL)
    fake.flush()
    webhook = EventWebhook(key)
    for one in application.received:
        signature = one.headers["X-Twilio-Email-Event-Webhook-Signature"]
        timestamp = one.headers["X-Twilio-Email-Event-Webhook-Timestamp"]
        assert webhook.verify_signature(one.body.decode(), signature, timestamp)
        assert not webhook.verify_signature(one.body.decode() + "\n", signature, timestamp)
        assert not webhook.verify_signature(one.body.decode(), signature, str(int(timestamp) + 1))
    reports = [email_report(event, ERRORS) for event in _events(application)]
    assert [(one.status, one.attempt_key) for one in reports if one is not None] == [("sent", KEY), ("delivered", KEY)]


def test_a_batch_is_delivered_until_it_is_taken_and_may_change_its_event_ids(
    fake: FakeClient, application: Application
) -> None:
    fake.configure(event_url=application.url, event_tries=4, event_wait=0, new_event_ids=True)
    application.answers = [503, 503, 200]
    sent = _send(fake, application, EMAIL)
    fake.advance(sent, {"status": "processed"}, {"status": "delivered", "times": 2})
    fake.ask("batch", {"before": ["nonsense", {"event": 7}]})
    fake.flush()
    batches = [json.loads(one.body) for one in application.received]
    assert [len(batch) for batch in batches] == [5, 5, 5]
    assert len({event["sg_event_id"] for batch in batches for event in batch[2:]}) == 9
    reports = {
        report.once for batch in batches for event in batch if (report := email_report(event, ERRORS)) is not None
    }
    assert len(reports) == 2
    application.answers = [500] * 9
    fake.advance(sent, {"status": "bounce"})
    fake.ask("batch")
    fake.flush()
    assert len(application.received) == 7
    assert fake.counted("callbacks.abandoned") == 1


def test_an_address_that_bounced_is_dropped_the_next_time(fake: FakeClient, application: Application) -> None:
    fake.configure(event_url=application.url)
    fake.advance(_send(fake, application, EMAIL), {"status": "bounce"})
    second = _send(fake, application, EMAIL)
    fake.flush()
    fake.ask("batch")
    fake.flush()
    last = email_report(_events(application)[-1], ERRORS)
    assert last is not None
    assert (last.provider_id, last.status, last.error_code) == (second, "failed", "sendgrid_dropped_recipient")


def test_anything_can_be_posted_rightly_wrongly_or_not_signed(fake: FakeClient, application: Application) -> None:
    url = f"{application.url}/x?a=1"
    form = [["B", "2"], ["A", ""]]
    for signed, key in (("twilio", None), ("twilio", "other"), ("none", None)):
        assert fake.ask("deliver", {"url": url, "form": form, "signed": signed, "key": key})["status"] == 200
    validator = RequestValidator(ACCOUNT.auth_token)
    right, wrong, unsigned = application.received
    assert validator.validate(url, _form(right), right.headers["X-Twilio-Signature"])
    assert not validator.validate(url, _form(wrong), wrong.headers["X-Twilio-Signature"])
    assert "X-Twilio-Signature" not in unsigned.headers


# --- the fake itself --------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_ids_and_keys() -> None:
    seen = []
    for seed in ("7", "7", "8"):
        with FakeServer(Config(seed=seed, auto=False)) as server:
            MAKERS[SMS](server.url).send(message(SMS))
            seen.append((server.client.state()["messages"][0]["sid"], server.state.key.public))
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] != seen[2][1]


def test_counters_tell_a_repeated_attempt(fake: FakeClient) -> None:
    provider = MAKERS[SMS](fake.url)
    for key in ("K/1/1", "K/1/1", "K/1/2"):
        provider.send(message(SMS, attempt_key=key))
    totals = fake.totals()
    assert totals["duplicates"] == ["K/1/1"]
    assert totals["processed"] == {"K/1/1": 2, "K/1/2": 1}
    assert (fake.counted("messages.create.requests"), fake.counted("messages.create.processed")) == (3, 3)


def test_rules_meet_the_requests_they_are_made_for(fake: FakeClient) -> None:
    fake.ask("rules", [{"on": "messages.create", "to": PERSON, "skip": 1, "times": 1, "fault": {"kind": "drop"}}])
    provider = MAKERS[SMS](fake.url)
    results: list[str] = []
    for _ in range(3):
        try:
            results.append(type(provider.send(message(SMS))).__name__)
        except Exception as error:  # noqa: BLE001 - its kind is the result
            results.append(type(error).__name__)
    assert results == ["Accepted", "AmbiguousSendError", "Accepted"]
    with pytest.raises(ValueError, match="kind"):
        fake.fault("earthquake")


def test_the_fake_knows_nothing_of_the_project() -> None:
    folder = Path(__file__).resolve().parents[1] / "fakes"
    ours = ("activities", "domain", "db", "runtime", "workflows", "settings", "web", "cli")
    for path in folder.glob("*.py"):
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        imported = [words[1].split(".")[0] for words in lines if words[:1] in (["import"], ["from"]) and len(words) > 1]
        assert not set(imported) & set(ours), path.name


def test_the_fake_runs_as_a_process_of_its_own_and_stops_when_told() -> None:
    command = [sys.executable, "-m", "tests.fakes", "--seed", "5", "--manual"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            client = FakeClient(ready["url"])
            client.wait()
            assert isinstance(MAKERS[SMS](ready["url"]).send(message(SMS)), Accepted)
            assert client.configure()["webhook_key"] == ready["webhook_key"]
            assert client.totals()["processed"] == {KEY: 1}
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in {0, -signal.SIGTERM}
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
