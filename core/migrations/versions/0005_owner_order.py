"""The models by owner, one's own first: an index like those of the other columns that the list is sorted by."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the index."""
    op.execute("CREATE INDEX model_search_is_global ON model_search (archived, is_global)")
