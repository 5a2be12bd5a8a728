"""The one typed list of search attributes: registration, start and upsert all read it.

Values are codes and our own keys: they are stored in the clear, so personal data must never get here.
"""

from temporalio.common import SearchAttributeKey

CASE_STAGE = SearchAttributeKey.for_keyword("CaseStage")
STRATEGY = SearchAttributeKey.for_keyword("Strategy")
CREDITOR = SearchAttributeKey.for_keyword("Creditor")
DEBTOR_KEY = SearchAttributeKey.for_keyword("DebtorKey")

ALL: tuple[SearchAttributeKey[str], ...] = (CASE_STAGE, STRATEGY, CREDITOR, DEBTOR_KEY)
