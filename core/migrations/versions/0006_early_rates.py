"""Jobs tell that their speed means nothing yet, so that no time left is made of it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; what was under way has a speed that means something."""
    op.add_column("jobs", sa.Column("is_early", sa.Boolean(), nullable=False, server_default="0"))
