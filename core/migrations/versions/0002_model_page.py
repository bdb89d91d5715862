"""The model page: regions, heads, kept talks, figures of calls and engines, the change log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

CALL_FIGURES = (
    *("user_id", "model_id", "server_id", "kind", "ok", "seconds", "first_token_s", "at"),
    *("prompt_tokens", "completion_tokens", "rating"),
)


def upgrade() -> None:
    """Widen the models and make the tables."""
    _models()
    _regions_and_heads()
    _conversations()
    _figures()
    _changes()
    _catalog()


def _text(name: str, **more: object) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False, **more)  # type: ignore[arg-type]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(), nullable=False)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def _models() -> None:
    for name in ("region", "head", "catalog"):
        op.add_column("models", _text(name, server_default=""))
    op.add_column("models", sa.Column("local_inference", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("models", _json("last_test", nullable=True))
    _index("models", "region", "head")


def _regions_and_heads() -> None:
    op.create_table(
        "regions",
        sa.Column("id", sa.String(), primary_key=True),
        _text("name"),
        sa.Column("builtin", sa.Boolean(), nullable=False),
        _time("created_at"),
        _time("updated_at"),
    )
    op.create_table(
        "heads",
        sa.Column("id", sa.String(), primary_key=True),
        _text("name", unique=True),
        *(_text(name) for name in ("region", "url", "api_key_ref", "description")),
        _time("created_at"),
        _time("updated_at"),
    )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(), primary_key=True),
        *(_text(name) for name in ("user_id", "model_id", "model_name", "title", "system")),
        _json("messages"),
        _time("created_at"),
        _time("updated_at"),
    )
    _index("conversations", "user_id", "model_id")


def _figures() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Integer(), primary_key=True),
        _time("at"),
        *(_text(name) for name in ("user_id", "model_id", "model_name", "server_id", "kind")),
        sa.Column("ok", sa.Boolean(), nullable=False),
        _text("error"),
        _number("prompt_tokens"),
        _number("completion_tokens"),
        sa.Column("first_token_s", sa.Float(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        _text("conversation_id"),
    )
    _index("calls", "at")
    op.create_index("ix_calls_figures", "calls", list(CALL_FIGURES))
    op.create_table(
        "counters",
        sa.Column("id", sa.Integer(), primary_key=True),
        _time("at"),
        _number("seconds"),
        *(_text(name) for name in ("server_id", "model_id", "model_name")),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("requests", "failures")),
        *(_number(name) for name in ("prompt_tokens", "generation_tokens")),
        sa.Column("generation_seconds", sa.Float(), nullable=False),
        _json("latency"),
        _json("first_token"),
        sa.UniqueConstraint("server_id", "at", "seconds"),
    )
    _index("counters", "at", "model_id")
    op.create_table(
        "readings",
        sa.Column("server_id", sa.String(), sa.ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
        _time("at"),
        _text("start"),
        _json("totals"),
    )


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        _time("at"),
        *(_text(name) for name in ("user_id", "machine", "batch", "kind", "record_id", "name", "action")),
        _json("before", nullable=True),
        _json("after", nullable=True),
        _text("undoes"),
        _text("note"),
    )
    _index("changes", "at", "batch", "record_id")


def _catalog() -> None:
    op.create_table(
        "catalog_states",
        sa.Column("id", sa.String(), primary_key=True),
        _text("fingerprint"),
        _json("problems"),
        _time("synced_at"),
    )


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])
