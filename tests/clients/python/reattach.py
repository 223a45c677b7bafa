"""One session, moved to another member when its own is killed: the same session, nothing lost.

The test kills the member that the client is connected to, and knows it as the first of the hosts.
"""

from common import UNKNOWN, Program
from kazoo.exceptions import NodeExistsError
from kazoo.protocol.states import KazooState

program = Program()
zk = program.client(0)
session = zk.client_id
EPHEMERAL, LEDGER = program.root + "/ephemeral", program.root + "/ledger"
zk.retry(zk.ensure_path, LEDGER)
zk.create(EPHEMERAL, ephemeral=True)
born = zk.get(EPHEMERAL)[1]
program.require(born.ephemeralOwner == session[0], "an ephemeral belongs to the session that made it")
acknowledged = []
moves = 0


def moved(state):
    global moves
    moves += state == KazooState.CONNECTED


zk.add_listener(moved)


def work():
    number, highest = 0, 0
    while not program.finishing:
        number += 1
        path = f"{LEDGER}/{number}"
        try:
            zk.create(path)
        except UNKNOWN:
            # Whatever became of it, it is there once after this.
            try:
                zk.retry(zk.create, path)
            except NodeExistsError:
                pass
        stat = zk.retry(zk.exists, path)
        program.require(stat is not None, f"{path} was acknowledged and is not there")
        program.require(stat.czxid > highest, f"{path} has zxid {stat.czxid:#x} after {highest:#x}")
        highest = stat.czxid
        acknowledged.append(str(number))
        stat = zk.retry(zk.exists, EPHEMERAL)
        program.require(stat is not None and stat.czxid == born.czxid, "the session's ephemeral is gone")
        program.acknowledged()


program.run(work)
program.require(zk.client_id == session, "the client has another session")
program.require(moves > 0, "the client never had to move")
lost = set(acknowledged) - set(program.names_below(zk, LEDGER))
program.require(not lost, f"acknowledged and lost: {lost}")
program.verdict(acknowledged=len(acknowledged), moves=moves)
