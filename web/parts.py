"""What the doors are made of: everything a request may need, put together by whoever starts them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import SecretStr
from sqlalchemy import Engine

from domain.clock import BusinessClock
from web.applying import Applier
from web.bridges import Bridges
from web.calls import Calls
from web.counters import Counters
from web.intake import Intake
from web.signatures import PaymentSignature, SendGridSignature, TwilioSignature


@dataclass(frozen=True)
class Doors:
    """Everything a request may need. What is ``None`` is not set up: its door refuses everybody."""

    engine: Engine
    intake: Intake
    applier: Applier
    counters: Counters
    clock: Callable[[], BusinessClock]
    """The business clock of the installation, read anew each time."""
    twilio: TwilioSignature | None = None
    sendgrid: SendGridSignature | None = None
    payments: PaymentSignature | None = None
    unsubscribe_secret: SecretStr | None = None
    calls: Calls | None = None
    bridges: Bridges | None = None
    posting: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="posting"))
    """Threads that wait for locks while a payment system waits for its answer."""
    payment_patience: float = 2.0
    """Seconds for which a payment system is kept waiting to be told what became of a payment."""
