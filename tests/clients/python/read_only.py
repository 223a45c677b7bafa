"""kazoo with `read_only`, while the ensemble loses its quorum and gets it back.

The test kills all members but the first of the hosts once this is ready, and starts them again after
the first progress.
"""

from common import Program
from kazoo.exceptions import NotReadOnlyCallError
from kazoo.protocol.states import KeeperState

program = Program()
PATH, MINE = program.root, program.root + "/mine"
# It has a session of the ensemble, which none may speak for meanwhile.
owner = program.client(0, read_only=True)
owner.ensure_path(PATH)
owner.set(PATH, b"before")
owner.create(MINE, ephemeral=True)
session = owner.client_id


def work():
    program.eventually("the owner has lost its member", lambda: owner.client_state == KeeperState.CONNECTING)
    reader = program.client(0, read_only=True, may_expire=True)
    program.eventually("the reader is told that it may read", lambda: reader.client_state == KeeperState.CONNECTED_RO)
    alone = reader.client_id
    program.require(alone != session, "the reader has the session of another client")
    program.require(reader.get(PATH)[0] == b"before", "what was written is not read")
    program.require(reader.get_children(PATH) == ["mine"], "another znode is there")
    program.refused(NotReadOnlyCallError, "a create", reader.create, PATH + "/new")
    program.refused(NotReadOnlyCallError, "a set", reader.set, PATH, b"meanwhile")
    program.refused(NotReadOnlyCallError, "a sync", reader.sync, PATH)
    program.acknowledged()

    program.eventually("the reader has a session of the ensemble", lambda: reader.client_state == KeeperState.CONNECTED)
    program.eventually("the owner is back", lambda: owner.client_state == KeeperState.CONNECTED)
    reader.retry(reader.create, PATH + "/new")
    program.require(reader.client_id != alone, "the reader's own session is one of the ensemble")
    program.require(owner.client_id == session, "the owner has another session")
    owner.retry(owner.sync, PATH)
    stat = owner.retry(owner.exists, MINE)
    program.require(stat is not None and stat.ephemeralOwner == session[0], "the owner's ephemeral is gone")
    program.require(owner.retry(owner.exists, PATH + "/new") is not None, "the write is not there")


program.run(work)
program.verdict()
