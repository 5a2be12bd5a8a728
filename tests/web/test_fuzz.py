"""Whatever is posted: no answer is a failure of ours, and nothing unsigned leaves a row.

A few hundred bodies in the ordinary tests; `make fuzz` posts ten thousand to each door.
"""

import os
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from db.engine import make_engine
from tests.web.house import House, open_house

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
DOORS = (
    "/twilio/message-status",
    "/twilio/call-status",
    "/twilio/call-machine",
    "/twilio/message",
    "/twilio/voice",
    "/sendgrid/events",
    "/payments",
    "/payments/returns",
    "/unsubscribe",
)
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FIELDS = (
    "MessageSid", "MessageStatus", "SmsSid", "SmsStatus", "CallSid", "CallStatus", "AnsweredBy", "ErrorCode", "Body",
    "From", "To", "OptOutType", "Digits", "Timestamp", "DialCallStatus",
)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(
        ["delivered", "failed", "sent", "completed", "human", "machine_start", "STOP", "30007", "SM1", "1"]
    ),
    st.text(max_size=40),
)
FORMS = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(min_size=1, max_size=20)), WORDS, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(
        st.sampled_from(["event", "sg_message_id", "timestamp", "attempt", "type", "reason", "email", "payment_id",
                         "account", "amount", "currency", "paid_on", "creditor"]) | st.text(max_size=10),
        inner, max_size=8,
    ),
    max_leaves=20,
)  # fmt: skip
QUERIES = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="#"), max_size=40)


@pytest.fixture(scope="module")
def house(migrated_url: str, postgres_url: str) -> Iterator[House]:
    """Keep one house for all bodies: what one leaves behind must not trouble the next."""
    name = "fuzz"
    admin = create_engine(make_engine(postgres_url).url, isolation_level="AUTOCOMMIT")
    template = migrated_url.rpartition("/")[2]
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine: Engine = make_engine(f"{postgres_url.rpartition('/')[0]}/{name}")
    with open_house(engine) as house:
        yield house
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.mark.parametrize("path", DOORS)
@many
@given(
    body=st.one_of(st.binary(max_size=3000), FORMS.map(lambda form: str(form).encode("utf-8", "replace"))),
    query=QUERIES,
    signature=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)
def test_nothing_unsigned_is_kept_or_fails(house: House, path: str, body: bytes, query: str, signature: str) -> None:
    before = house.one("SELECT count(*) FROM inbox")
    headers = {
        "X-Twilio-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": signature[:20],
        "X-Dunlin-Signature": signature,
        "X-Dunlin-Timestamp": signature[:20],
    }
    answer = house.post(f"{path}?{quote(query, safe='=&%')}", body, headers)
    assert (answer.status, answer.body) == (403, b"")
    assert house.one("SELECT count(*) FROM inbox") == before


@pytest.mark.parametrize("path", DOORS[:5])
@many
@given(
    form=FORMS, attempt=st.text(max_size=40), more=st.sampled_from(["", "&stage=who", "&stage=check&tries=9", "&stage"])
)
def test_whatever_twilio_signs_is_taken(house: House, path: str, form: dict[str, str], attempt: str, more: str) -> None:
    form = {_whole(name): _whole(value) for name, value in form.items()}
    answer = house.twilio(path, form, attempt=_whole(attempt), more=more)
    assert answer.status in {200, 204}
    _all_settled(house)


@many
@example(content=[{"event": {}}, {"event": ["open"]}])
@given(content=JSON)
def test_whatever_sendgrid_signs_is_taken(house: House, content: object) -> None:
    assert house.sendgrid(content).status == 204
    _all_settled(house)


@pytest.mark.parametrize("path", ["/payments", "/payments/returns"])
@many
@given(content=JSON)
def test_whatever_a_payment_system_signs_is_taken_or_named(house: House, path: str, content: object) -> None:
    assert house.pay(content, path=path).status in {200, 202, 400, 409}
    _all_settled(house)


def _all_settled(house: House) -> None:
    """Apply all, and see that nothing is tried again and again for no good."""
    house.apply()
    assert house.rows("SELECT name, body FROM inbox WHERE status = 'received'") == []


def _whole(text: str) -> str:
    """Return a text that can be encoded: half a surrogate never leaves a phone."""
    return text.encode("utf-8", "replace").decode()
