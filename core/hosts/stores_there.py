"""What other tools keep on a host (X8): the Hugging Face cache and Ollama store of its user, in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.files import stores

if TYPE_CHECKING:
    from core.files.installed import InstalledModel
    from core.hosts.connection import Connection


async def read(connection: Connection) -> list[InstalledModel]:
    """All that the one script tells; nothing where there is no store.

    Raises:
        HostUnreachable: no connection.
    """
    done = await connection.run(stores.argv(), check=False)
    return stores.parse(done.stdout)
