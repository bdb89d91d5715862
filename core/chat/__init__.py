"""Talking to models: ask, keep the talk, rate the answer."""

from core.chat.service import AskOptions, ChatDone, ChatPart, ChatService
from core.chat.talk import Talk
from core.providers.values import ChatPiece, ToolCall

__all__ = ["AskOptions", "ChatDone", "ChatPart", "ChatPiece", "ChatService", "Talk", "ToolCall"]
