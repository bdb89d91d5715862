"""Jobs: downloads, copies and checks of files that go on without the program that asked for them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("user_id", "kind", "title", "host", "folder")),
        sa.Column("spec", sa.JSON(), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("state", "wanted", "doing", "error", "error_code", "cause", "remedy")
        ),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("bytes_done", sa.Integer(), nullable=False),
        sa.Column("bytes_total", sa.Integer(), nullable=True),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("lease", sa.JSON(), nullable=True),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        *(sa.Column(name, sa.DateTime(), nullable=True) for name in ("started_at", "finished_at")),
        *(sa.Column(name, sa.DateTime(), nullable=False) for name in ("created_at", "updated_at")),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])
