"""`modelyard chat`: one question, or a conversation on a terminal."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.diagnostics import notice, report
from core.cli.talk import Limits, Talk, figures
from core.errors import ModelyardError, UsageError

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.chat import ChatDone
    from core.cli.output import Output


@command("chat")
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(min=1), help="By default the model's own limit.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="By default the model's own.")
@click.option("--top-p", type=click.FloatRange(0, 1), help="By default the model's own.")
@click.option("--system", default="", help="What the model is told before everything else.")
async def chat(
    yard: Modelyard,
    *,
    out: Output,
    model: str,
    prompt: str | None,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    system: str,
) -> None:
    """Talk to a deployed model: PROMPT, or what comes on standard input, or on a terminal a conversation.

    The answer goes to standard output as it is written, the figures to standard error.
    """
    limits = Limits(max_tokens=max_tokens, temperature=temperature, top_p=top_p)
    talk = Talk(yard, out, model, system=system, limits=limits)
    if prompt is None and ask.can_ask() and not out.json:
        await _converse(talk)
        return
    question = prompt if prompt not in (None, "-") else await ask.read_all()
    if not question or not question.strip():
        raise UsageError("There is no question.", remedy="Give it after the model, or on standard input.")
    done = await talk.ask(question)
    if out.json:
        out.document({"model": model, "answer": talk.answer, "reasoning": talk.reasoning, **asdict(done)})
    else:
        notice(figures(done))


async def _converse(talk: Talk) -> None:
    """Until Ctrl-D, or Ctrl-C at the prompt; Ctrl-C during an answer ends that answer."""
    notice("Ctrl-D leaves, Ctrl-C stops an answer.")
    answered = False
    while (line := await ask.ask_line("> ")) is not None:
        if not line.strip():
            continue
        try:
            done = await _interruptible(talk, line)
        except ModelyardError as error:
            if not answered:
                raise
            report(error, json=False)
        else:
            answered = True
            notice(figures(done) if done else "stopped")


async def _interruptible(talk: Talk, line: str) -> ChatDone | None:
    """The answer's figures; None when Ctrl-C stopped it."""
    answer = asyncio.create_task(talk.ask(line))
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, answer.cancel)
    try:
        await asyncio.wait({answer})
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
        answer.cancel()
    return None if answer.cancelled() else answer.result()
