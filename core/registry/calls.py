"""The requests that this program sent to models: figures only, never the text."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from core.errors import InvalidInput
from core.registry.base import Store, get
from core.registry.records import Call


class CallRecords(Store):
    """Calls and their ratings (N3)."""

    async def record_call(self, call: Call) -> Call:
        """Keep the figures of one request."""

        def work(session: Session) -> Call:
            session.add(call)
            return call

        return await self._change(work, "call", "added")

    async def rate_call(self, call_id: int, rating: int | None) -> Call:
        """Rate an answer from 1 to 5, or take the rating back.

        Raises:
            InvalidInput: not from 1 to 5. NotFound: there is no such call.
        """
        if rating is not None and not 1 <= rating <= 5:
            raise InvalidInput({"rating": "Must be from 1 to 5."})

        def work(session: Session) -> Call:
            call = get(session, Call, call_id)
            call.rating = rating
            return call

        return await self._change(work, "call", "edited")

    async def calls(self, *, since: datetime | None = None, model_id: str | None = None) -> list[Call]:
        """The calls that match, oldest first."""

        def work(session: Session) -> list[Call]:
            wanted = select(Call).where(Call.user_id == self.user_id).order_by(col(Call.at))
            wanted = wanted.where(col(Call.at) >= since) if since else wanted
            return list(session.exec(wanted.where(Call.model_id == model_id) if model_id else wanted))

        return await self._db.read(work)
