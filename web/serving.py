"""Runs the doors and what works behind them, in one process: listening, applying, delivering."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvicorn
from sqlalchemy import Engine

from activities.dialling import Dialling
from activities.judging import Judge
from activities.providers.call_script import Scripts
from activities.providers.errors import ErrorTable
from activities.providers.identity import Identities
from activities.providers.twiml import Dialogue
from activities.replying import Replier
from activities.rule_facts import Rules
from activities.wording import Wording
from db.engine import make_engine
from db.settings import SANDBOX_SEED, get, read_clock
from domain.clock import BusinessClock
from runtime.channels import ERRORS, IDENTITY, public_url, sendgrid_settings, twilio_settings, voice_of
from runtime.client import NotRunning, connect
from runtime.desk import shipped_gate
from runtime.endpoints import running_endpoints
from runtime.work import TEMPLATES, parts_of
from settings import Settings, SettingsError
from web.app import create_app
from web.applying import Applier
from web.aside import Aside, BesideThreads, at_once
from web.bridges import Bridges
from web.calls import CallEvents, Calls
from web.counters import Counters
from web.delivering import Deliverer
from web.intake import Intake
from web.parts import Doors
from web.pay_links import PayLinks
from web.receipts import Receipts
from web.signatures import KeyUnusableError, PaymentSignature, SendGridSignature, TwilioSignature
from web.texts import Texts

CONNECTIONS = 16
AT_ONCE = 1000
"""Requests that are held at once; who comes then is told to come again."""

log = structlog.get_logger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until asked to stop (SIGINT, SIGTERM); what is under way is finished first."""
    endpoints = running_endpoints(settings)
    if endpoints is None:
        raise NotRunning("no servers are running; start them with `python starter.py up`")
    engine = make_engine(endpoints.database_url, pool_size=CONNECTIONS, steady=True)
    counters, stop, loop = Counters(), asyncio.Event(), asyncio.get_running_loop()
    deliverer = Deliverer(engine, lambda: connect(settings, endpoints), counters)
    aside = BesideThreads()
    try:

        def applied() -> None:
            loop.call_soon_threadsafe(deliverer.wake)

        applier = await asyncio.to_thread(applier_of, engine, settings, counters, applied, aside)
        doors = await asyncio.to_thread(doors_of, engine, settings, counters, applier)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(doors, ErrorTable.load(ERRORS)),
                host=settings.web_host,
                port=settings.web_port,
                http="h11",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                limit_concurrency=AT_ONCE,
                timeout_graceful_shutdown=10,
            )
        )
        behind = [asyncio.create_task(applier.run(stop)), asyncio.create_task(deliverer.run(stop))]
        for task in behind:
            # Doors that take what nobody applies are worse than none: whoever supervises us starts us anew.
            task.add_done_callback(lambda _: setattr(server, "should_exit", True))
        log.info("the doors are open", port=settings.web_port)
        await server.serve()
        stop.set()
        for task in behind:
            with suppress(asyncio.CancelledError):
                await task
    finally:
        await asyncio.to_thread(aside.finish)
        engine.dispose()


def applier_of(
    engine: Engine, settings: Settings, counters: Counters, applied: Callable[[], None], aside: Aside = at_once
) -> Applier:
    """Put together who applies what comes in. ``applied`` is called in any thread."""
    with engine.connect() as connection:
        seed = get(connection, SANDBOX_SEED)
    parts = parts_of(engine, settings, seed)
    identities = Identities.load(IDENTITY)
    replier = Replier(engine, parts.providers, Judge(parts.gate, parts.rules), parts.wording, identities)
    voice = voice_of(engine, settings)
    receipts = Receipts(engine, ErrorTable.load(ERRORS), None if voice is None else voice.redirect, aside)
    links = pay_links_of(settings)
    events = CallEvents(engine, replier, identities, aside, links)
    return Applier(engine, receipts, Texts(engine, replier, aside), counters, applied, events, links)


def pay_links_of(settings: Settings) -> PayLinks | None:
    """Return who makes references for pay links; ``None`` while no payment system is connected."""
    secrets = [one for one in (settings.payments_secret, settings.payments_secret_previous) if one is not None]
    return PayLinks(secrets) if secrets else None


def doors_of(engine: Engine, settings: Settings, counters: Counters, applier: Applier) -> Doors:
    """Put the doors together from the settings; what is not set up stays shut. Raises SettingsError."""
    twilio, sendgrid = twilio_settings(settings), sendgrid_settings(settings)
    calls, bridges = None, None
    if twilio is not None and twilio.voice_from is not None:
        dialogue = Dialogue(Scripts(TEMPLATES, Wording(TEMPLATES).judge), public_url(settings))
        pay_links = pay_links_of(settings) is not None
        calls = Calls(engine, dialogue, Identities.load(IDENTITY), twilio.voice_from, pay_links=pay_links)
        dialling = Dialling(engine, Judge(shipped_gate(), Rules()))
        bridges = Bridges(engine, dialling, Identities.load(IDENTITY), twilio.voice_from, public_url(settings))
    try:
        key = None if sendgrid is None or sendgrid.webhook_key is None else SendGridSignature(sendgrid.webhook_key)
    except KeyUnusableError:
        raise SettingsError("DUNLIN_SENDGRID_WEBHOOK_KEY: cannot be read. Copy it as SendGrid shows it.") from None
    secrets = [one for one in (settings.payments_secret, settings.payments_secret_previous) if one is not None]
    return Doors(
        engine=engine,
        intake=Intake(engine, applier.wake),
        applier=applier,
        counters=counters,
        clock=lambda: _clock(engine),
        twilio=None if twilio is None else TwilioSignature(twilio.auth_token, twilio.public_url),
        sendgrid=key,
        payments=PaymentSignature(secrets) if secrets else None,
        unsubscribe_secret=None if sendgrid is None else sendgrid.unsubscribe_secret,
        calls=calls,
        bridges=bridges,
    )


def _clock(engine: Engine) -> BusinessClock:
    with engine.connect() as connection:
        return read_clock(connection)
