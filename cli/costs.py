"""What a case has cost, by the prices of ``policies/channels/costs.yaml``: shown, and deciding nothing."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from activities.providers.costs import CostError, CostTable
from cli.say import UserError
from db.spent import read_charged, read_spent
from domain.money import format_amount
from runtime.channels import COSTS

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class CaseCost:
    """``by_attempt`` as text; ``contacts`` all of them together, ``charged`` by courts and counsel, by currency."""

    by_attempt: dict[str, str]
    contacts: str
    charged: tuple[str, ...]


def cost_of(connection: Connection, case_key: str) -> CaseCost:
    """Price what was done for a case. UserError when the price list cannot be read."""
    try:
        prices = CostTable.load(COSTS)
    except CostError as error:
        raise UserError(str(error)) from None
    priced, total = {}, 0
    for one in read_spent(connection, case_key):
        found = prices.estimate(one.channel, one.recipient, segments=one.segments, seconds=one.seconds)
        if found is not None:
            priced[one.attempt_key] = _shown(found, prices.currency)
            total += found
    charged = tuple(format_amount(cost, currency) for currency, cost in read_charged(connection, case_key).items())
    return CaseCost(priced, _shown(total, prices.currency), charged)


def _shown(millionths: int, currency: str) -> str:
    return f"{Decimal(millionths) / _MILLION:.4f} {currency}"
