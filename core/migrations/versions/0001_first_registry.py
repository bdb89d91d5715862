"""The first registry: models, hosts, deployments, servers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _models()
    _hosts()
    _deployments()
    _servers()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(), nullable=nullable)


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.String(), primary_key=True),
        _text("user_id", nullable=True),
        *(_text(name) for name in ("name", "provider", "model_id", "served_name", "task")),
        sa.Column("context_length", sa.Integer(), nullable=False),
        sa.Column("max_output_tokens", sa.Integer(), nullable=False),
        sa.Column("default_temperature", sa.Float(), nullable=False),
        sa.Column("default_top_p", sa.Float(), nullable=False),
        sa.Column("supports_streaming", sa.Boolean(), nullable=False),
        sa.Column("supports_tools", sa.Boolean(), nullable=False),
        sa.Column("supports_vision", sa.Boolean(), nullable=False),
        sa.Column("is_global", sa.Boolean(), nullable=False),
        *(_text(name) for name in ("endpoint", "api_key_ref", "host")),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("tags", "flags", "metadata")),
        _time("archived_at", nullable=True),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("user_id", "name"),
    )
    for column in ("user_id", "name", "provider", "served_name"):
        op.create_index(f"ix_models_{column}", "models", [column])


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        *(_text(name) for name in ("kind", "target", "ssh_config", "models_dir", "docker_socket")),
        _time("last_seen_at", nullable=True),
        _time("unreachable_since", nullable=True),
        _text("problem"),
        _time("created_at"),
        _time("updated_at"),
    )


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("model_id", sa.String(), sa.ForeignKey("models.id"), nullable=False),
        sa.Column("host_id", sa.String(), sa.ForeignKey("hosts.id"), nullable=False),
        _text("engine"),
        _text("runtime"),
        sa.Column("options", sa.JSON(), nullable=False),
        _text("spec_hash"),
        _text("wanted"),
        _time("created_at"),
        _time("updated_at"),
        sa.UniqueConstraint("model_id", "host_id"),
    )
    for column in ("model_id", "host_id"):
        op.create_index(f"ix_deployments_{column}", "deployments", [column])


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("deployment_id", sa.String(), sa.ForeignKey("deployments.id", ondelete="SET NULL"), nullable=True),
        *(_text(name) for name in ("user_id", "model_id", "model_name", "served_name", "server_type", "runtime")),
        sa.Column("host_id", sa.String(), sa.ForeignKey("hosts.id"), nullable=False),
        *(_text(name) for name in ("host_name", "container_id", "container_name", "image", "status", "phase")),
        *(_text(name) for name in ("cause", "remedy", "bind")),
        sa.Column("port", sa.Integer(), nullable=True),
        _text("url"),
        sa.Column("gpus", sa.JSON(), nullable=False),
        sa.Column("gpu_memory", sa.Integer(), nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("operation", sa.JSON(), nullable=True),
        *(_time(name, nullable=True) for name in ("started_at", "stopped_at", "observed_at")),
        _time("created_at"),
        _time("updated_at"),
    )
    for column in ("deployment_id", "model_id", "host_id", "status"):
        op.create_index(f"ix_servers_{column}", "servers", [column])
