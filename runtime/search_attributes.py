"""The one typed list of search attributes: registration, start and upsert all read it.

Values are codes and our own keys: they are stored in the clear, so personal data must never get here.
"""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey

CASE_STAGE = SearchAttributeKey.for_keyword("CaseStage")
STRATEGY = SearchAttributeKey.for_keyword("Strategy")
CREDITOR = SearchAttributeKey.for_keyword("Creditor")
DEBTOR_KEY = SearchAttributeKey.for_keyword("DebtorKey")

ALL: tuple[SearchAttributeKey[str], ...] = (CASE_STAGE, STRATEGY, CREDITOR, DEBTOR_KEY)


async def ensure_registered(client: Client) -> None:
    """Register what the client's namespace lacks; harmless when repeated."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        for key in ALL
        if key.name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
