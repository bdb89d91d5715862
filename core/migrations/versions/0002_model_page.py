"""The model page: regions, heads, kept talks, figures of calls and engines, the change log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen the models and make the tables."""
    _models()
    _regions_and_heads()
    _conversations()
    _figures()
    _changes()


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
    op.create_index("ix_models_region", "models", ["region"])


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
    _index("calls", "at", "model_id")
    op.create_table(
        "counters",
        sa.Column("id", sa.Integer(), primary_key=True),
        _time("at"),
        *(_text(name) for name in ("server_id", "model_id", "model_name")),
        *(_number(name) for name in ("requests", "failures", "prompt_tokens", "generation_tokens")),
        _json("latency"),
        sa.UniqueConstraint("server_id", "at"),
    )
    _index("counters", "at", "model_id")


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


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])
