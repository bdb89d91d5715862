"""The talks that were kept, and what the last test of a model's connection found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import defer
from sqlmodel import Session, col, or_, select

from core.errors import NotFound
from core.events import now
from core.registry.base import Store, get
from core.registry.records import Call, Conversation, Model
from core.text import clean_line

_TITLE_LIMIT = 72  # characters


class ConversationRecords(Store):
    """Talks of this user."""

    async def keep_conversation(
        self,
        conversation_id: str | None,
        *,
        model: Model,
        system: str,
        messages: Sequence[Mapping[str, Any]],
        call_id: int | None = None,
    ) -> Conversation:
        """Write a talk, a new one without an id; the call of its last answer then refers to it."""

        def work(session: Session) -> Conversation:
            kept = session.get(Conversation, conversation_id) if conversation_id else None
            if kept is None:
                kept = Conversation(user_id=self.user_id, model_id=model.id, model_name=model.name)
                session.add(kept)
            kept.model_id, kept.model_name, kept.system = model.id, model.name, system
            kept.messages = [dict(message) for message in messages]
            kept.title = kept.title or _title(messages)
            kept.updated_at = now()
            if call_id is not None and (call := session.get(Call, call_id)) is not None:
                call.conversation_id = kept.id
            return kept

        return await self._change(work, "conversation", "edited" if conversation_id else "added")

    async def conversations(self, *, model_id: str | None = None, limit: int = 500) -> list[Conversation]:
        """The talks, the latest first, without what was said: `get_conversation` has it."""

        def work(session: Session) -> list[Conversation]:
            wanted = select(Conversation).where(Conversation.user_id == self.user_id)
            wanted = wanted.where(Conversation.model_id == model_id) if model_id else wanted
            latest = wanted.order_by(col(Conversation.updated_at).desc(), col(Conversation.id)).limit(limit)
            return list(session.exec(latest.options(defer(col(Conversation.messages), raiseload=True))))  # type: ignore[arg-type]

        return await self._db.read(work)

    async def get_conversation(self, ref: str) -> Conversation:
        """By id or its beginning.

        Raises:
            NotFound: none, or several.
        """
        return await self._db.read(lambda session: self._find_conversation(session, ref))

    async def delete_conversation(self, ref: str) -> Conversation:
        """Forget a talk; the figures of its answers stay."""

        def work(session: Session) -> Conversation:
            conversation = self._find_conversation(session, ref)
            session.delete(conversation)
            return conversation

        return await self._change(work, "conversation", "deleted")

    def _find_conversation(self, session: Session, ref: str) -> Conversation:
        named = or_(col(Conversation.id) == ref, col(Conversation.id).startswith(ref, autoescape=True))
        mine = select(Conversation).where(Conversation.user_id == self.user_id, named)
        found = list(session.exec(mine.limit(2))) if ref else []
        if len(found) == 1:
            return found[0]
        what = "There are several conversations" if found else "There is no conversation"
        raise NotFound(f"{what} {ref!r}.", remedy="modelyard conversations list shows them with their ids.")

    async def keep_test(self, model_id: str, report: Mapping[str, Any]) -> Model:
        """What the last test of a connection found; no edit of the model, so global ones have it, too."""

        def work(session: Session) -> Model:
            model = get(session, Model, model_id)
            model.last_test = dict(report)
            return model

        return await self._change(work, "model", "tested")


def _title(messages: Sequence[Mapping[str, Any]]) -> str:
    first = next((str(one.get("content", "")) for one in messages if one.get("role") == "user"), "")
    words = " ".join(clean_line(first).split()) or "Conversation"
    return words if len(words) <= _TITLE_LIMIT else f"{words[: _TITLE_LIMIT - 1].rstrip()}…"
