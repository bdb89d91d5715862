"""`modelyard chat`: one question, or a conversation on a terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command
from core.cli.diagnostics import notice, report
from core.cli.talk import Teller, figures
from core.errors import ModelyardError, NotAllowed, UsageError

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.chat import AskOptions, ChatDone
    from core.cli.output import Output
    from core.providers.values import Image
    from core.registry.records import Conversation

_FILE = click.Path(path_type=Path)


@command("chat")
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(min=1), help="By default the model's own limit.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="By default the model's own.")
@click.option("--top-p", type=click.FloatRange(0, 1), help="By default the model's own.")
@click.option("--system", help="What the model is told first; by default its metadata's system_prompt.")
@click.option("--image", "images", type=_FILE, multiple=True, help="A picture that goes along; for models with vision.")
@click.option("--tools", type=_FILE, help="JSON file with tools the model may ask for; nothing is executed.")
@click.option("--keep", is_flag=True, help="Keep the conversation; it is forgotten otherwise.")
@click.option("--continue", "earlier", metavar="ID", help="Go on with a conversation that was kept.")
async def chat(
    yard: Modelyard,
    *,
    out: Output,
    model: str,
    prompt: str | None,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    system: str | None,
    images: Sequence[Path],
    tools: Path | None,
    keep: bool,
    earlier: str | None,
) -> None:
    """Talk to a model: PROMPT, or what comes on standard input, or on a terminal a conversation.

    The answer goes to standard output as it is written, thoughts and figures to standard error.
    """
    from core.chat import AskOptions

    conversation = await _earlier(yard, earlier, model)
    options = AskOptions(system=system, max_tokens=max_tokens, temperature=temperature, top_p=top_p)
    teller = Teller(yard, out, model, await _with_tools(options, tools))
    if conversation is not None:
        teller.talk.resume(conversation)
    pictures = await _pictures(images)
    if prompt is None and ask.can_ask() and not out.json:
        await _converse(teller, pictures, keep=keep)
        return
    question = prompt if prompt not in (None, "-") else await ask.read_all()
    if not question or not question.strip():
        raise UsageError("There is no question.", remedy="Give it after the model, or on standard input.")
    done = await teller.ask(question, pictures)
    if keep:
        await teller.talk.keep()
    _tell(out, model, teller, done)


def _tell(out: Output, model: str, teller: Teller, done: ChatDone) -> None:
    kept = teller.talk.kept
    if not out.json:
        notice(figures(done) + (f"; conversation {kept.id}" if kept else ""))
        return
    out.document(
        {
            "model": model,
            "answer": teller.answer,
            "reasoning": teller.reasoning,
            "tool_calls": [asdict(call) for call in teller.calls],
            "conversation_id": kept.id if kept else None,
            **asdict(done),
        }
    )


async def _earlier(yard: Modelyard, ref: str | None, model: str) -> Conversation | None:
    """The conversation to go on with.

    Raises:
        NotAllowed: it was with another model, whose words would be put into this one's mouth.
    """
    if ref is None:
        return None
    found = await yard.registry.get_conversation(ref)
    if (await yard.registry.get_model(model)).id != found.model_id:
        raise NotAllowed(
            f"The conversation {found.id} was with {found.model_name}.",
            remedy=f"modelyard chat {found.model_name} --continue {found.id}",
        )
    return found


async def _with_tools(options: AskOptions, path: Path | None) -> AskOptions:
    from dataclasses import replace

    from core.chat.attachments import load_tools

    return replace(options, tools=await load_tools(path)) if path else options


async def _pictures(paths: Sequence[Path]) -> list[Image]:
    from core.chat.attachments import load_image

    return [await load_image(path) for path in paths]


async def _converse(teller: Teller, pictures: Sequence[Image], *, keep: bool) -> None:
    """Until Ctrl-D, or Ctrl-C at the prompt; Ctrl-C during an answer ends that answer."""
    notice("Ctrl-D leaves, Ctrl-C stops an answer, /rate 1 to 5 rates it, /keep keeps the conversation.")
    answered = False
    while (line := await ask.ask_line("> ")) is not None:
        if not line.strip() or await _did(teller, line):
            continue
        try:
            done = await _interruptible(teller, line, pictures)
        except ModelyardError as error:
            if not answered:
                raise
            report(error, json=False)
            continue
        answered, pictures = True, ()
        if keep and teller.talk.turns:
            await teller.talk.keep()
        notice(figures(done) if done else "stopped")


async def _did(teller: Teller, line: str) -> bool:
    """Whether the line was a word to the program."""
    word, _, rest = line.strip().partition(" ")
    if word not in {"/rate", "/keep"}:
        return False
    try:
        if word == "/rate":
            await teller.talk.rate(int(rest) if rest.strip().isdigit() else 0)
            notice("rated")
        else:
            notice(f"kept as {(await teller.talk.keep()).id}")
    except ModelyardError as error:
        report(error, json=False)
    return True


async def _interruptible(teller: Teller, line: str, pictures: Sequence[Image]) -> ChatDone | None:
    """The answer's figures; None when Ctrl-C stopped it."""
    answer = asyncio.create_task(teller.ask(line, pictures))
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
