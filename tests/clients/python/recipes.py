"""Every recipe of kazoo once, each by several clients that contend or look on."""

import datetime
import functools
import threading

from common import PATIENCE_S, Guard, Program
from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    CancelledError,
    ConnectionLoss,
    LockTimeout,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
)
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.security import make_digest_acl

ROUNDS = 5
program = Program()
clients = [program.client(member) for member in range(3)]
require, refused, eventually = program.require, program.refused, program.eventually


def everybody(work):
    """Every client does its part, all at the same time."""
    program.side_by_side(*(functools.partial(work, number, zk) for number, zk in enumerate(clients)))


def synced(number):
    """The client, which has now seen everything that was written before."""
    clients[number].sync("/")
    return clients[number]


def mortal(member):
    """A client for one recipe alone, which is stopped."""
    return program.client(member, may_expire=True)


def contend(path, lock_of):
    """All clients, round after round; no two may overlap, and every stay leaves its trace."""
    guard = Guard(program, clients[0], path + "/guard")

    def work(number, zk):
        lock = lock_of(zk, f"contender-{number}")
        for _ in range(ROUNDS):
            require(lock.acquire(timeout=PATIENCE_S), f"contender {number} does not get a lock that is free")
            guard.hold(zk, f"contender-{number}")
            lock.release()

    everybody(work)
    guard.check(clients[0])


def lock(path):
    contend(path, lambda zk, name: zk.Lock(path + "/lock", name))
    mine = clients[0].Lock(path + "/lock", "mine")
    theirs = clients[1].Lock(path + "/lock", "theirs")
    with mine:
        require(not theirs.acquire(blocking=False), "a held lock was given to another client")
        refused(LockTimeout, "a lock that is held", theirs.acquire, timeout=0.01)
        waiting = threading.Event()

        def wait():
            waiting.set()
            refused(CancelledError, "a wait that was given up", theirs.acquire)

        def cancel():
            waiting.wait()
            eventually("the waiting one is a contender", lambda: mine.contenders() == ["mine", "theirs"])
            theirs.cancel()

        program.side_by_side(wait, cancel)
        # Given up, it stands in nobody's way.
        eventually("the holder is the only contender", lambda: mine.contenders() == ["mine"])
    dying = mortal(2)
    dying.Lock(path + "/lock", "dying").acquire(timeout=PATIENCE_S)

    def next_one():
        require(mine.acquire(timeout=PATIENCE_S), "the lock of a client that is gone is not given on")
        mine.release()

    program.side_by_side(next_one, dying.stop)


def read_write_lock(path):
    one, two = ((zk.ReadLock(path + "/lock"), zk.WriteLock(path + "/lock")) for zk in clients[:2])
    (read_one, write_one), (read_two, write_two) = one, two
    with read_one:
        require(read_two.acquire(blocking=False), "a second reader is shut out")
        require(not write_two.acquire(blocking=False), "a writer came in beside readers")
        read_two.release()
        require(not write_two.acquire(blocking=False), "a writer came in beside a reader")
    with write_one:
        require(not read_two.acquire(blocking=False), "a reader came in beside a writer")
        require(not write_two.acquire(blocking=False), "a second writer came in")
    contend(path, lambda zk, name: zk.WriteLock(path + "/lock", name))


def semaphore(path):
    inside, most, count = [0], [0], threading.Lock()

    def work(number, zk):
        leases = zk.Semaphore(path + "/leases", f"holder-{number}", max_leases=2)
        for _ in range(ROUNDS):
            with leases:
                with count:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                zk.exists(path)
                with count:
                    inside[0] -= 1

    everybody(work)
    require(most[0] <= 2, f"{most[0]} were inside at once, of two")
    first, second, third = (zk.Semaphore(path + "/leases", str(number), 2) for number, zk in enumerate(clients))
    with first, second:
        require(not third.acquire(blocking=False), "a third lease was given, of two")
        synced(2)
        require(sorted(third.lease_holders()) == ["0", "1"], f"the holders are {third.lease_holders()}")
    other = clients[0].Semaphore(path + "/leases", "other", max_leases=3)
    refused(ValueError, "a semaphore of another size", other.acquire)


def barrier(path):
    gate = clients[0].Barrier(path)
    gate.create()
    held, removed = threading.Barrier(4), threading.Event()

    def work(number, zk):
        synced(number)
        require(not zk.Barrier(path).wait(0.001), "somebody passes a barrier that is there")
        held.wait()
        require(zk.Barrier(path).wait(PATIENCE_S), f"client {number} is held back by a barrier that was removed")
        require(removed.is_set(), f"client {number} passes before the removal")

    def remove():
        held.wait()
        removed.set()
        require(gate.remove(), "there was no barrier to remove")

    program.side_by_side(functools.partial(everybody, work), remove)
    require(gate.wait(0), "a barrier that was removed holds somebody back")
    require(not gate.remove(), "a barrier was removed twice")


def double_barrier(path):
    for round in range(3):
        arrived, leaving = [], []
        # The recipe itself wants nobody to leave before all have come in.
        all_inside = threading.Barrier(3)

        def work(number, zk):
            double = zk.DoubleBarrier(f"{path}/{round}", 3, f"client-{number}")
            arrived.append(number)
            double.enter()
            require(len(arrived) == 3, f"one came in when only {arrived} were there")
            all_inside.wait()
            leaving.append(number)
            double.leave()
            require(len(leaving) == 3, f"one got out when only {leaving} were leaving")

        everybody(work)


def election(path):
    guard = Guard(program, clients[0], path + "/guard")
    led = []

    def work(number, zk):
        name = f"contender-{number}"
        for _ in range(ROUNDS):
            zk.Election(path + "/election", name).run(lambda: (guard.hold(zk, name), led.append(name)))

    everybody(work)
    guard.check(clients[0])
    require(len(led) == 3 * ROUNDS, f"led {len(led)} times")
    running = clients[0].Election(path + "/election", "first")
    candidates = clients[1].Election(path + "/election", "second")
    begun, end = threading.Event(), threading.Event()

    def look():
        begun.wait()
        synced(1)
        require(candidates.contenders() == ["first"], f"contenders are {candidates.contenders()}")
        end.set()

    program.side_by_side(lambda: running.run(lambda: (begun.set(), end.wait())), look)


def counter(path):
    def work(number, zk):
        mine = zk.Counter(path)
        for _ in range(ROUNDS):
            mine += 2
            mine -= 1

    everybody(work)
    total = synced(0).Counter(path).value
    require(total == 3 * ROUNDS, f"counted {total} of {3 * ROUNDS}")
    real = clients[1].Counter(path + "-real", default=1.5)
    real += 1.0
    require(real.value == 2.5, f"1.5 and 1 are {real.value}")


def party(path):
    for kind in ("Party", "ShallowParty"):
        parties = [getattr(zk, kind)(f"{path}/{kind}", f"guest-{number}") for number, zk in enumerate(clients)]
        for guest in parties:
            guest.join()
            guest.join()
        for number, guest in enumerate(parties):
            synced(number)
            require(sorted(guest) == ["guest-0", "guest-1", "guest-2"], f"{kind}: the guests are {sorted(guest)}")
            require(len(guest) == 3, f"{kind}: {len(guest)} guests")
        parties[0].leave()
        guest = mortal(0)
        getattr(guest, kind)(f"{path}/{kind}", "dying").join()
        eventually("the new guest is seen", lambda: "dying" in list(parties[1]))
        guest.stop()
        eventually(
            f"{kind}: guests that left or died are gone", lambda: sorted(parties[1]) == ["guest-1", "guest-2"]
        )


def queue(path):
    items = [str(number).encode() for number in range(3 * ROUNDS)]
    for item in items:
        clients[0].Queue(path).put(item)
    urgent = clients[0].Queue(path)
    urgent.put(b"urgent", priority=1)
    taken, lock_ = [], threading.Lock()

    def work(number, zk):
        mine = zk.Queue(path)
        while True:
            item = mine.get()
            if item is None:
                with lock_:
                    if len(taken) == len(items) + 1:
                        return
                continue
            with lock_:
                taken.append((number, item))

    synced(0), synced(1), synced(2)
    everybody(work)
    got = [item for _, item in taken]
    require(sorted(got) == sorted([b"urgent", *items]), f"taken are {got}")
    for number in range(3):
        own = [item for by, item in taken if by == number and item != b"urgent"]
        require(own == [item for item in items if item in own], f"client {number} took {own}, which is not the order")
    require(b"urgent" in got[:3], f"the urgent item comes late: {got}")
    require(len(synced(0).Queue(path)) == 0, "an empty queue has a length")


def locking_queue(path):
    producer = clients[0].LockingQueue(path)
    producer.put_all([b"first", b"second"])
    producer.put(b"urgent", priority=1)
    one, two = synced(1).LockingQueue(path), synced(2).LockingQueue(path)
    require(one.get(PATIENCE_S) == b"urgent", "the urgent item does not come first")
    require(two.get(PATIENCE_S) == b"first", "an item that is held was given again, or the order is another one")
    require(one.holds_lock() and two.holds_lock(), "who has an item does not hold its lock")
    require(one.consume(), "an item that is held cannot be consumed")
    two.release()
    require(one.get(PATIENCE_S) == b"first", "an item that was let go does not come again")
    require(one.consume(), "an item that is held cannot be consumed")
    dying = mortal(2)
    require(dying.LockingQueue(path).get(PATIENCE_S) == b"second", "the last item does not come")
    dying.stop()
    require(one.get(PATIENCE_S) == b"second", "the item of a client that is gone does not come again")
    require(one.consume(), "an item that is held cannot be consumed")
    require(one.get(0.01) is None, "an empty queue gives something")


def partitioner(path):
    items = ["a", "b", "c", "d", "e"]
    done = threading.Barrier(3)

    def work(number, zk):
        parts = zk.SetPartitioner(path, items, identifier=f"worker-{number}", time_boundary=0.3, max_reaction_time=1)
        shares[number] = parts

        def settle(workers):
            """Until so many have all of it between them, and nobody else's share overlaps."""

            def settled():
                if parts.release:
                    parts.release_set()
                elif parts.allocating:
                    parts.wait_for_acquire(0.2)
                require(not parts.failed, "the set cannot be partitioned")
                owned = [item for other in workers if shares[other].acquired for item in shares[other]]
                return sorted(owned) == items and all(shares[other].acquired for other in workers)

            eventually(f"{len(workers)} share everything", settled)

        eventually("all have come", lambda: len(shares) == 3)
        settle((0, 1, 2))
        done.wait()
        if number == 0:
            parts.finish()
            return
        settle((1, 2))
        done_two.wait()
        parts.finish()

    shares, done_two = {}, threading.Barrier(2)
    everybody(work)


def lease(path):
    now = [datetime.datetime(2026, 1, 1)]

    def clock():
        return now[0]

    hour = datetime.timedelta(hours=1)
    require(clients[0].NonBlockingLease(path + "/one", hour, "first", clock), "a lease that is free is not given")
    require(not clients[1].NonBlockingLease(path + "/one", hour, "second", clock), "a lease was given twice")
    require(clients[2].NonBlockingLease(path + "/one", hour, "first", clock), "a lease cannot be renewed")
    now[0] += 2 * hour
    require(clients[1].NonBlockingLease(path + "/one", hour, "second", clock), "a lease that has ended is not given")
    given = [
        bool(zk.MultiNonBlockingLease(2, path + "/two", hour, f"holder-{number}", clock))
        for number, zk in enumerate(clients)
    ]
    require(given == [True, True, False], f"of two leases three clients get {given}")


def tree_cache(path):
    clients[1].ensure_path(path + "/old")
    state, initialized, lock_ = {}, threading.Event(), threading.Lock()

    def listen(event):
        with lock_:
            if event.event_type == TreeEvent.INITIALIZED:
                initialized.set()
            elif event.event_type == TreeEvent.NODE_REMOVED:
                require(event.event_data.path in state, f"{event.event_data.path} is removed while it is not there")
                del state[event.event_data.path]
            elif event.event_type in (TreeEvent.NODE_ADDED, TreeEvent.NODE_UPDATED):
                state[event.event_data.path] = event.event_data.data

    cache = TreeCache(synced(0), path)
    cache.listen(listen)
    cache.start()
    require(initialized.wait(PATIENCE_S), "the cache is never initialised")
    expected = {path: b"", path + "/old": b""}
    for number in range(4):
        child = f"{path}/old/{number}"
        clients[1].create(child, b"first")
        clients[1].set(child, b"second")
        expected[child] = b"second"
    clients[1].delete(path + "/old/0")
    del expected[path + "/old/0"]
    eventually("the events of the cache amount to what is there", lambda: state == expected)
    require(cache.get_data(path + "/old/1").data == b"second", "the cache has other data than its events")
    require(cache.get_children(path + "/old") == {"1", "2", "3"}, f"cached: {cache.get_children(path + '/old')}")
    cache.close()


def data_watch(path):
    seen, changed = [], threading.Condition()

    def saw(value):
        with changed:
            require(changed.wait_for(lambda: seen and seen[-1] == value, PATIENCE_S), f"expected {value}, saw {seen}")

    @clients[0].DataWatch(path)
    def on_data(data, stat, event):
        with changed:
            seen.append(None if stat is None else data)
            changed.notify_all()
            return data != b"last"

    saw(None)
    clients[1].create(path, b"made", makepath=True)
    saw(b"made")
    clients[1].set(path, b"changed")
    saw(b"changed")
    clients[1].delete(path)
    saw(None)
    clients[1].create(path, b"last")
    saw(b"last")
    # Its function said that it wants no more.
    clients[1].set(path, b"untold")
    require(synced(0).get(path)[0] == b"untold", "the last data are not there")
    require(seen[-1] == b"last", f"a watch that has ended tells of {seen[-1]}")


def children_watch(path):
    clients[1].ensure_path(path)
    seen, changed = [], threading.Condition()

    def saw(names):
        with changed:
            require(changed.wait_for(lambda: seen and seen[-1] == names, PATIENCE_S), f"expected {names}, saw {seen}")

    @synced(0).ChildrenWatch(path)
    def on_children(children):
        with changed:
            seen.append(sorted(children))
            changed.notify_all()

    saw([])
    for names in (["a"], ["a", "b"], ["a", "b", "c"]):
        clients[1].create(f"{path}/{names[-1]}")
        saw(names)
    clients[1].delete(path + "/b")
    saw(["a", "c"])
    children, _ = PatientChildrenWatch(clients[2], path, time_boundary=0.1).start().get(timeout=PATIENCE_S)
    require(sorted(children) == ["a", "c"], f"settled children are {children}")


def transactions(path):
    zk = clients[0]
    zk.ensure_path(path)
    transaction = zk.transaction()
    transaction.check(path, 0)
    transaction.create(path + "/a", b"a")
    transaction.create(path + "/s-", sequence=True)
    transaction.set_data(path, b"set", 0)
    transaction.delete(path + "/a")
    results = transaction.commit()
    require(results[:3] == [True, path + "/a", path + "/s-0000000001"], f"the results are {results}")
    require(results[3].version == 1 and results[4] is True, f"the results are {results}")
    transaction = zk.transaction()
    transaction.create(path + "/half")
    transaction.check(path, 7)
    kinds = [type(result) for result in transaction.commit()]
    require(kinds == [RolledBackError, BadVersionError], f"a transaction that cannot be done says {kinds}")
    require(zk.get_children(path) == ["s-0000000001"], f"there are {zk.get_children(path)}")


def retries(path):
    tries = []

    def fails_twice():
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionLoss("as if the connection were lost")
        return clients[0].create(path, makepath=True)

    require(clients[0].retry(fails_twice) == path, "not made")
    require(tries == [0, 1, 2], f"tried {len(tries)} times")


def asynchronous(path):
    zk = clients[0]
    zk.ensure_path(path)
    created = [zk.create_async(f"{path}/{number}", b"x") for number in range(50)]
    missing = zk.get_async(path + "/absent")
    read = [zk.get_async(f"{path}/{number}") for number in range(50)]
    require([result.get() for result in created] == [f"{path}/{number}" for number in range(50)], "other paths")
    zxids = [result.get()[1].czxid for result in read]
    require(zxids == sorted(zxids), "made in another order than asked for")
    refused(NoNodeError, "what is not there", missing.get)
    linked = threading.Event()
    zk.exists_async(path).rawlink(lambda result: linked.set())
    require(linked.wait(PATIENCE_S), "the callback is never called")
    deleted = [zk.delete_async(f"{path}/{number}") for number in range(50)]
    children = zk.get_children_async(path)
    require(all(result.get() for result in deleted) and children.get() == [], "read before what was asked for earlier")


def operations(path):
    zk = clients[0]
    made, stat = zk.create(path, b"data", makepath=True, include_data=True)
    require(made == path and stat.version == 0 and stat.dataLength == 4, f"made {made} with {stat}")
    refused(NodeExistsError, "a second create", zk.create, path)
    names = [zk.create(path + "/s-", sequence=True, ephemeral=True) for _ in range(2)]
    require(names == [path + "/s-0000000000", path + "/s-0000000001"], f"made {names}")
    children, stat = zk.get_children(path, include_data=True)
    require(sorted(children) == ["s-0000000000", "s-0000000001"] and stat.numChildren == 2, f"{children}, {stat}")
    refused(NotEmptyError, "the deletion of a znode that has children", zk.delete, path)
    refused(BadVersionError, "a set of another version", zk.set, path, b"", version=5)
    require(zk.set(path, b"more", version=0).version == 1, "set, and the version is not 1")
    require(zk.get(path)[0] == b"more", "other data")
    told = []
    require(clients[1].exists(path + "/later", watch=told.append) is None, "what is not there")
    zk.create(path + "/later")
    eventually("the creation is told", lambda: [event.type for event in told] == [EventType.CREATED])
    zk.delete(path, recursive=True)
    require(zk.exists(path) is None, "deleted, and still there")

    owner = mortal(1)
    owner.add_auth("digest", "owner:secret")
    owner.create(path, b"private", acl=[make_digest_acl("owner", "secret", all=True)])
    refused(NoAuthError, "who may not read", synced(0).get, path)
    acls, stat = owner.get_acls(path)
    require(acls[0].id.scheme == "digest" and stat.aversion == 0, f"{acls}, {stat}")
    owner.set_acls(path, [make_digest_acl("other", "secret", all=True)], version=0)
    refused(NoAuthError, "who may read no more", owner.get, path)
    owner.stop()

    below = KazooClient(hosts=f"{','.join(program.hosts)}{program.root}/chroot")
    below.start(timeout=PATIENCE_S)
    below.ensure_path("/a/b")
    require(below.get_children("/") == ["a"], "the root of a chroot has other children")
    require(synced(0).exists(program.root + "/chroot/a/b") is not None, "not made below the chroot")
    below.stop()


def administration(path):
    zk = clients[0]
    require(zk.server_version()[:2] == (3, 9), f"the version is {zk.server_version()}")
    require(zk.command(b"ruok") == "imok", f"ruok says {zk.command(b'ruok')!r}")
    require("Mode: " in zk.command(b"srvr"), "srvr says no mode")
    config, _ = zk.get("/zookeeper/config")
    require(all(host in config.decode() for host in program.hosts), f"the configuration is {config}")


def listeners(path):
    """A client's states, as applications see them: connected, and gone when it is stopped."""
    states = []
    zk = KazooClient(hosts=",".join(program.hosts))
    zk.add_listener(states.append)
    zk.start(timeout=PATIENCE_S)
    zk.restart()
    zk.stop()
    eventually("connected and lost, twice", lambda: states == ["CONNECTED", "LOST", "CONNECTED", "LOST"])


program.say("ready")
for name, promise, check in (
    ("Operations", "every create, change, read and delete, and what each refuses", operations),
    ("Async", "answers in the order of asking, each with its result or refusal", asynchronous),
    ("Transactions", "all of it or none of it, with a result for each part", transactions),
    ("Retry", "tried again until it is done", retries),
    ("Listeners", "the states of a client as it comes and goes", listeners),
    ("Administration", "version, words and configuration", administration),
    ("Lock", "one holder; waits end by time or by will; free when its session ends", lock),
    ("ReadWriteLock", "readers share, a writer is alone", read_write_lock),
    ("Semaphore", "as many leases as there are", semaphore),
    ("Barrier", "holds everybody back until it is removed", barrier),
    ("DoubleBarrier", "all come in together, and all leave together", double_barrier),
    ("Election", "one leads at a time, and who would is known", election),
    ("Counter", "no step is lost, and none is done twice", counter),
    ("Party", "who is there is known to all, until it leaves or its session ends", party),
    ("Queue", "each item to one taker, in the order of putting, the urgent ones first", queue),
    ("LockingQueue", "an item is held until it is consumed, and comes again if it is not", locking_queue),
    ("SetPartitioner", "every part has one owner, and again when one of them leaves", partitioner),
    ("Lease", "one holder until its time is over, several where several are allowed", lease),
    ("TreeCache", "follows a tree to what is there in the end", tree_cache),
    ("DataWatch", "follows one znode through creation, change and deletion, until it wants no more", data_watch),
    ("ChildrenWatch", "follows the children of a znode, and knows when they have settled", children_watch),
):
    program.prove(name, promise, check)
program.proved()
