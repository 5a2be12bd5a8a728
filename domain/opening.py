"""What the opener of cases is asked and answers."""

from pydantic import AwareDatetime, BaseModel, ConfigDict


class OpenRequest(BaseModel):
    """Open cases as of an instant; ``None`` means now, on the wall clock."""

    model_config = ConfigDict(frozen=True)

    as_of: AwareDatetime | None = None
    after: str = ""
    opened: int = 0
    restart_missing: bool = True


class OpenedPage(BaseModel):
    """How many workflows one page started, and where the next begins."""

    started: int
    next_after: str | None = None
