"""`modelyard conversations …`: the talks that were kept, and what their answers were worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import ask
from core.cli.command import command

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.cli.output import Output


@command("list")
@click.option("--model", help="Only those with this model.")
async def list_conversations(yard: Modelyard, *, out: Output, model: str | None) -> None:
    """List the conversations that were kept, the latest first."""
    from core.chat.export import summary

    model_id = (await yard.registry.get_model(model)).id if model else None
    found = [summary(one) for one in await yard.registry.conversations(model_id=model_id)]
    if out.json:
        out.document({"conversations": found})
        return
    rows = [(one["id"], one["model"], one["updated_at"][:16].replace("T", " "), one["title"]) for one in found]
    out.table(("ID", "MODEL", "LAST (UTC)", "TITLE"), rows)


@command("show")
@click.argument("conversation")
@click.option("--markdown", is_flag=True, help="As a Markdown document, which is also what people see without it.")
async def show(yard: Modelyard, *, out: Output, conversation: str, markdown: bool) -> None:
    """Show a conversation, given by its id or the beginning of it; redirect the output to export it."""
    from core.chat.export import as_document, as_markdown

    found = await yard.registry.get_conversation(conversation)
    if out.json and not markdown:
        out.document(as_document(found))
    elif out.json:
        out.document({"id": found.id, "markdown": as_markdown(found)})
    else:
        out.block(as_markdown(found))


@command("delete")
@click.argument("conversation")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
async def delete(yard: Modelyard, *, out: Output, conversation: str, yes: bool) -> None:
    """Forget a conversation; the figures of its answers stay in the analytics."""
    from core.chat.export import summary

    found = await yard.registry.get_conversation(conversation)
    await ask.must_confirm(f"Delete the conversation {found.title!r}?", yes=yes, json=out.json)
    await yard.registry.delete_conversation(found.id)
    out.changed({**summary(found), "deleted": True}, f"Deleted {found.id}.")


@command("rate")
@click.argument("call", type=int)
@click.argument("rating", type=click.IntRange(0, 5))
async def rate(yard: Modelyard, *, out: Output, call: int, rating: int) -> None:
    """Rate an answer from 1 to 5, by the number of its call, which chat tells; 0 takes the rating back."""
    rated = await yard.registry.rate_call(call, rating or None)
    fields = {"call_id": rated.id, "model": rated.model_name, "rating": rated.rating}
    out.changed(fields, f"Rated call {rated.id} of {rated.model_name}: {rated.rating or 'no rating'}.")
