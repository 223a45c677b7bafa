"""kazoo where sessions begin as local ones of their member: its recipes, and what it notices."""

import socket

from common import Guard, Program
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

ROUNDS = 5
program = Program()


def contenders(path):
    """Each round is of new sessions, whose first write is the lock's."""
    keeper = program.client(0)
    guard = Guard(program, keeper, f"{path}/guard")

    def contender(member):
        def work():
            for number in range(ROUNDS):
                zk = program.client(member)
                lock = zk.Lock(f"{path}/lock", f"contender-{member}-{number}")
                program.require(lock.acquire(timeout=60), "the lock was waited for in vain")
                guard.hold(zk, f"contender-{member}")
                lock.release()
                zk.stop()
                zk.close()

        return work

    program.side_by_side(*(contender(member) for member in range(3)))
    guard.check(keeper)
    left = program.names_below(keeper, f"{path}/lock")
    program.require(not left, f"released locks are still there: {left}")


def upgrade(path):
    keeper, zk = program.client(0), program.client(1)
    keeper.ensure_path(path)
    zk.sync(path)
    session, seen, states = zk.client_id, [], []
    zk.add_listener(states.append)
    zk.get_children(path, watch=seen.append)
    mine = zk.create(f"{path}/mine", ephemeral=True)
    program.eventually("the watch set before the first write fires", lambda: seen)
    program.require(zk.client_id == session and not states, f"it noticed: {states}")
    keeper.sync(path)
    owner = keeper.exists(mine).ephemeralOwner
    program.require(owner == session[0], "the ephemeral belongs to another session")
    zk.stop()
    zk.close()
    keeper.sync(path)
    program.require(keeper.exists(mine) is None, "it outlives its session")


def alone(member, **options):
    """A client that knows one member only, and the states it was told of."""
    states = []
    zk = KazooClient(hosts=program.hosts[member], timeout=20.0, **options)
    zk.add_listener(states.append)
    zk.start(timeout=60)
    return zk, states


def comes_back(path):
    """The connection is cut, before the first write and after it."""
    keeper = program.client(0)
    keeper.ensure_path(path)
    zk, states = alone(1)
    session = zk.client_id
    for number in range(2):
        states.clear()
        zk._connection._socket.shutdown(socket.SHUT_RDWR)
        back = [KazooState.SUSPENDED, KazooState.CONNECTED]
        program.eventually("it is connected again", lambda: states[-1:] == back[-1:])
        program.require(states == back, f"it is told {states}")
        program.require(zk.client_id == session, "it has another session")
        zk.retry(zk.create, f"{path}/{number}", ephemeral=True)
    program.require(len(program.names_below(keeper, path)) == 2, "an ephemeral is gone")
    zk.stop()
    zk.close()


def moves(path):
    """A session is known on another member once it has written."""
    keeper = program.client(0)
    keeper.ensure_path(path)
    for writes in (False, True):
        zk = program.client(1, may_expire=True)
        session = zk.client_id
        if writes:
            zk.create(f"{path}/mine", ephemeral=True)
        moved, _ = alone(2, client_id=session)
        program.require((moved.client_id == session) == writes, f"writes: {writes}")
        if writes:
            program.require(moved.exists(f"{path}/mine") is not None, "its ephemeral is gone")
        zk.stop()
        moved.stop()
        moved.close()


program.say("ready")
for name, promise, check in (
    ("lock", "a lock is held by one of many new sessions at a time", contenders),
    ("upgrade", "the first write changes nothing that a client can see", upgrade),
    ("reattach", "a session comes back to its member", comes_back),
    ("move", "a session that has written moves to another member", moves),
):
    program.prove(name, promise, check)
program.proved()
