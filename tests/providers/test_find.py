"""An attempt whose answer was lost is found again by the provider's list, or left unknown: never guessed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from activities.providers.base import Accepted, AmbiguousSendError, LookUpError, Provider, digest_of
from activities.providers.evidence import LedgerEvidence
from activities.providers.twilio import TwilioSms, TwilioVoice
from domain.codes import Channel
from tests.fakes.client import FakeClient
from tests.fakes.server import FakeServer
from tests.fakes.state import Call, Message
from tests.providers.conftest import CREATE, ERRORS, KEY, MAILBOX, MAKERS, PERSON, SERVICE, message, twilio_settings

LISTED = (Channel.SMS, Channel.VOICE)
MAKE: dict[Channel, type[TwilioSms] | type[TwilioVoice]] = {Channel.SMS: TwilioSms, Channel.VOICE: TwilioVoice}
each_listed = pytest.mark.parametrize("channel", LISTED)


@dataclass
class Known:
    """Evidence as a test wants it."""

    others: frozenset[str] = frozenset()
    rival: bool = False
    digest: str | None = None

    def of_others(self, attempt_key: str, provider_ids: Collection[str]) -> frozenset[str]:  # noqa: ARG002
        return self.others & frozenset(provider_ids)

    def contested(self, attempt_key: str) -> bool:  # noqa: ARG002
        return self.rival

    def text_digest(self, attempt_key: str) -> str | None:  # noqa: ARG002
        return self.digest


def _since() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=5)


def _ids(fake: FakeClient, channel: Channel) -> list[str]:
    return [one["sid"] for one in fake.state()["messages" if channel is Channel.SMS else "calls"]]


def _lose(fake: FakeClient, channel: Channel, **change: object) -> Provider:
    """Send one message whose answer is lost."""
    fake.fault("drop", CREATE[channel], processed=True)
    provider: Provider = MAKERS[channel](fake.url)
    with pytest.raises(AmbiguousSendError):
        provider.send(message(channel, **change))
    return provider


@each_listed
def test_a_lost_answer_is_adopted_and_nothing_is_sent_again(fake: FakeClient, channel: Channel) -> None:
    since = _since()
    provider = _lose(fake, channel)
    (sid,) = _ids(fake, channel)
    assert provider.find(KEY, PERSON, since) == Accepted(sid)
    assert fake.counted(f"{CREATE[channel]}.requests") == 1


@each_listed
def test_a_request_that_never_took_effect_leaves_no_trace(fake: FakeClient, channel: Channel) -> None:
    fake.fault("drop", CREATE[channel])
    provider = MAKERS[channel](fake.url)
    with pytest.raises(AmbiguousSendError):
        provider.send(message(channel))
    assert provider.find(KEY, PERSON, _since()) is None


def test_an_email_is_known_again_by_its_events_only(fake: FakeClient) -> None:
    assert _lose(fake, Channel.EMAIL).find(KEY, MAILBOX, _since()) is None
    assert len(fake.journal()) == 1


@each_listed
def test_what_came_before_or_long_after_the_dispatch_is_another_one(
    fake: FakeClient, fake_server: FakeServer, channel: Channel
) -> None:
    provider = _lose(fake, channel)
    rows: list[Message | Call] = [*fake_server.state.messages.values(), *fake_server.state.calls.values()]
    (one,) = rows
    assert provider.find(KEY, PERSON, one.created + timedelta(seconds=1)) is None
    assert provider.find(KEY, PERSON, one.created - timedelta(minutes=3, seconds=1)) is None
    assert provider.find(KEY, PERSON, one.created + timedelta(milliseconds=900)) is not None  # whole seconds are listed


@each_listed
def test_other_recipients_senders_and_directions_are_no_trace(fake: FakeClient, channel: Channel) -> None:
    provider = MAKERS[channel](fake.url)
    provider.send(message(channel, recipient="+13125550199"))
    MAKERS[channel](fake.url, sms_from="+13125550003", voice_from="+13125550003").send(message(channel))
    fake.ask("message", {"from": "+13125550001", "to": PERSON, "body": "hello", "url": "http://127.0.0.1:9/x"})
    assert provider.find(KEY, PERSON, _since()) is None


@each_listed
def test_of_two_candidates_none_is_guessed(fake: FakeClient, channel: Channel) -> None:
    provider = _lose(fake, channel)
    provider.send(message(channel, attempt_key="A000000001/1/8"))
    assert provider.find(KEY, PERSON, _since()) is None


@each_listed
def test_what_the_ledger_knows_of_other_attempts_decides_between_candidates(fake: FakeClient, channel: Channel) -> None:
    since = _since()
    settings = twilio_settings(fake.url)
    other = MAKE[channel](settings, ERRORS).send(message(channel, attempt_key="A000000001/1/8"))
    assert isinstance(other, Accepted)
    _lose(fake, channel)
    lost = next(sid for sid in _ids(fake, channel) if sid != other.provider_id)
    known = Known(others=frozenset({other.provider_id}))
    assert MAKE[channel](settings, ERRORS, known).find(KEY, PERSON, since) == Accepted(lost)
    known.rival = True
    assert MAKE[channel](settings, ERRORS, known).find(KEY, PERSON, since) is None


def test_the_text_tells_two_unresolved_messages_apart(fake: FakeClient) -> None:
    since = _since()
    _lose(fake, Channel.SMS, body="first")
    _lose(fake, Channel.SMS, body="second", attempt_key="A000000001/1/8")
    settings, sids = twilio_settings(fake.url), _ids(fake, Channel.SMS)
    found = [
        TwilioSms(settings, ERRORS, Known(rival=True, digest=digest_of(text))).find(KEY, PERSON, since)
        for text in ("first", "second", "third")
    ]
    assert found == [Accepted(sids[0]), Accepted(sids[1]), None]


def test_of_a_messaging_service_only_its_own_messages_count(fake: FakeClient) -> None:
    since = _since()
    change: dict[str, object] = {"sms_from": None, "messaging_service_sid": SERVICE}
    service = MAKERS[Channel.SMS](fake.url, **change)
    MAKERS[Channel.SMS](fake.url).send(message(Channel.SMS))
    assert service.find(KEY, PERSON, since) is None
    sent = service.send(message(Channel.SMS))
    assert service.find(KEY, PERSON, since) == sent


@each_listed
def test_a_list_that_does_not_come_is_an_error_without_an_address(fake: FakeClient, channel: Channel) -> None:
    on = CREATE[channel].replace("create", "list")
    provider = MAKERS[channel](fake.url)
    for fault, text in (
        ({"kind": "answer", "status": 503}, "http_503"),
        ({"kind": "drop"}, "dropped"),
        ({"kind": "garble", "processed": True}, "unreadable_answer"),
    ):
        fake.ask("rules", [{"on": on, "times": 1, "fault": fault}])
        with pytest.raises(LookUpError) as raised:
            provider.find(KEY, PERSON, _since())
        assert str(raised.value) == text
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
    with pytest.raises(LookUpError, match="refused"):
        MAKERS[channel]("http://127.0.0.1:9").find(KEY, PERSON, _since())


def test_a_call_that_does_not_ring_yet_can_be_taken_back(fake: FakeClient) -> None:
    provider = MAKERS[Channel.VOICE](fake.url)
    assert isinstance(provider, TwilioVoice)
    sent = provider.send(message(Channel.VOICE))
    assert isinstance(sent, Accepted)
    assert provider.withdraw(sent.provider_id) is True
    assert provider.withdraw(sent.provider_id) is False
    assert provider.withdraw("CA" + "0" * 32) is False
    assert fake.state()["calls"][0]["status"] == "canceled"
    fake.fault("answer", "calls.update", status=500)
    with pytest.raises(LookUpError, match="http_500"):
        provider.withdraw(sent.provider_id)


def test_the_ledger_says_what_belongs_to_others_and_who_competes(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")  # rows of no interest are left out
        for key, party in (("N1", "P1"), ("N2", "P2"), ("N3", "P3")):
            value = PERSON if key != "N3" else "+13125550199"
            connection.exec_driver_sql(
                "INSERT INTO contact_points (key, party_key, kind, value, source) VALUES (%s, %s, 'phone', %s, 'test')",
                (key, party, value),
            )
        for key, point, status, sid, at in (
            ("A/1/1", "N1", "unknown", None, "15:00"),
            ("B/1/1", "N2", "sent", "SM-of-B", "15:01"),
            ("C/1/1", "N3", "unknown", None, "15:01"),
            ("D/1/1", "N1", "unknown", None, "15:20"),
        ):
            connection.exec_driver_sql(
                "INSERT INTO attempts (key, case_key, seq, purpose, pass_no, try_no, channel, contact_point_key, status, "
                "due_at, engine_admitted_at, provider_id, dispatch) VALUES (%s, %s, 1, 'collect', 1, 1, 'sms', %s, %s, "
                "now(), %s::timestamptz, %s, 1)",
                (key, key[:3], point, status, f"2026-03-03 {at}+00", sid),
            )
    evidence = LedgerEvidence(engine)
    assert evidence.of_others("A/1/1", ["SM-of-B", "SM-of-nobody"]) == {"SM-of-B"}
    assert evidence.of_others("B/1/1", ["SM-of-B"]) == frozenset()
    assert not evidence.contested("A/1/1")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE attempts SET status = 'unknown' WHERE key = 'B/1/1'")
    assert not evidence.contested("A/1/1")  # unresolved, but its id is known
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE attempts SET provider_id = NULL WHERE key = 'B/1/1'")
    assert evidence.contested("A/1/1")
    assert not evidence.contested("D/1/1")
    assert evidence.text_digest("A/1/1") is None
