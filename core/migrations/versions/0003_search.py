"""The search index of the models: a narrow table in the order of the names, and its three-letter pieces.

`n` numbers the models in the order of their names, with gaps, so that whatever walks it comes sorted: the pieces'
lists, the table itself, and every other index among equals. The program keeps it up to date from the list of models
that changed (core.registry.search_index); triggers write that list, so that no way of changing a model is missed.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

_SHOWN = (
    *("user_id", "name", "provider", "model_id", "served_name", "context_length", "supports_streaming"),
    *("supports_tools", "supports_vision", "is_global", "region", "tags", "archived_at", "updated_at"),
)
_STATEMENTS = (
    """
    CREATE TABLE model_search (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        hay TEXT NOT NULL,
        model_id TEXT NOT NULL,
        provider TEXT NOT NULL,
        region TEXT NOT NULL,
        context INTEGER NOT NULL,
        updated TEXT NOT NULL,
        archived INTEGER NOT NULL,
        owner TEXT NOT NULL,
        is_global INTEGER NOT NULL,
        abilities INTEGER NOT NULL
    )
    """,
    "CREATE INDEX model_search_name ON model_search (name)",
    "CREATE INDEX model_search_archived ON model_search (archived)",
    *(
        f"CREATE INDEX model_search_{column} ON model_search (archived, {column})"
        for column in ("provider", "model_id", "region", "context", "updated")
    ),
    "CREATE INDEX model_search_global ON model_search (archived) WHERE is_global = 1",
    """
    CREATE VIRTUAL TABLE model_search_pieces USING fts5 (
        hay, content='model_search', content_rowid='n', tokenize='trigram case_sensitive 1', detail='none', columnsize=0
    )
    """,
    "CREATE VIRTUAL TABLE model_search_terms USING fts5vocab (model_search_pieces, 'row')",
    "CREATE TABLE model_search_todo (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "INSERT INTO model_search_todo SELECT id FROM models",
    *(
        f"CREATE TRIGGER model_search_{when.split()[0].lower()} AFTER {when} ON models BEGIN "  # noqa: S608 - words of this file alone
        f"INSERT OR IGNORE INTO model_search_todo VALUES ({row}.id); END"
        for when, row in (("INSERT", "NEW"), (f"UPDATE OF {', '.join(_SHOWN)}", "NEW"), ("DELETE", "OLD"))
    ),
)


def upgrade() -> None:
    """Make the index, and list every model as one that it lacks."""
    for statement in _STATEMENTS:
        op.execute(statement)
