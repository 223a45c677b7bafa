package clients.recipes;

import clients.Guard;
import clients.Program;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Locker;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** The locks: who may be inside, who waits, and who comes next. */
final class Locks {
    private static final int ROUNDS = 5;

    static void all(Recipes recipes) {
        recipes.prove("InterProcessMutex",
                "one holder, reentrant, in the order of asking, free when its session ends, revocable",
                Locks::mutex);
        recipes.prove("InterProcessSemaphoreMutex", "one holder, not reentrant, any thread lets go",
                Locks::semaphoreMutex);
        recipes.prove("InterProcessReadWriteLock",
                "readers share, a writer is alone, a writer may become a reader and no reader a writer",
                Locks::readWriteLock);
        recipes.prove("InterProcessMultiLock", "all of its locks or none of them", Locks::multiLock);
        recipes.prove("InterProcessSemaphoreV2",
                "as many leases as there are, all asked for or none, and a shared count moves their number",
                Locks::semaphore);
    }

    private interface Factory {
        InterProcessLock of(CuratorFramework client);
    }

    /** All clients, round after round; no two may overlap, and every stay leaves its trace. */
    private static void contend(Stage stage, Factory factory) throws Exception {
        Guard guard = stage.guard();
        stage.everyClient((number, client) -> {
            InterProcessLock lock = factory.of(client);
            for (int round = 0; round < ROUNDS; round++) {
                acquire(lock, "client " + number);
                guard.hold(client, "client " + number);
                lock.release();
            }
        });
        guard.check(stage.client(0));
        Program.require(guard.steps.get() == (long) ROUNDS * stage.size(), "held " + guard.steps + " times");
    }

    private static void acquire(InterProcessLock lock, String who) throws Exception {
        Program.require(lock.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS), who + " does not get the lock that is free");
    }

    private static void requireShutOut(InterProcessLock lock, String what) throws Exception {
        Program.require(!lock.acquire(0, TimeUnit.SECONDS), what);
    }

    private static void mutex(Stage stage) throws Exception {
        String path = stage.path("lock");
        contend(stage, client -> new InterProcessMutex(client, path));

        InterProcessMutex mine = new InterProcessMutex(stage.client(0), path);
        InterProcessMutex theirs = new InterProcessMutex(stage.client(1), path);
        mine.acquire();
        acquire(mine, "the holder itself");
        requireShutOut(theirs, "a held mutex was given to another client");
        Program.refused(IllegalMonitorStateException.class, "a release by who does not hold", theirs::release);
        mine.release();
        requireShutOut(theirs, "a mutex that is still held once was given to another client");
        mine.release();
        try (Locker held = new Locker(theirs)) {
            requireShutOut(mine, "a mutex that a Locker holds was given to another client");
        }
        inTheOrderOfAsking(stage, path);
        revoked(stage, path);

        CuratorFramework mortal = stage.mortal(2);
        new InterProcessMutex(mortal, path).acquire();
        requireShutOut(mine, "a held mutex was given to another client");
        stage.sideBySide(mortal::close, () -> {
            acquire(mine, "the one who waits for a client that vanishes");
            mine.release();
        });
        stage.requireNoChildren(path, "released mutexes");
    }

    private static void inTheOrderOfAsking(Stage stage, String path) throws Exception {
        int contenders = 5;
        List<Integer> order = Collections.synchronizedList(new ArrayList<>());
        List<Program.Worker> workers = new ArrayList<>();
        for (int i = 0; i < contenders; i++) {
            int number = i;
            CuratorFramework client = stage.client(i);
            InterProcessMutex mutex = new InterProcessMutex(client, path);
            workers.add(() -> {
                // Those who asked earlier, and are gone, must not be counted.
                stage.synced(number);
                Program.eventually("the one before has asked",
                        () -> Stage.childrenIfThere(client, path).size() == number);
                acquire(mutex, "contender " + number);
                if (number == 0) {
                    Program.eventually("all have asked",
                            () -> Stage.childrenIfThere(client, path).size() == contenders);
                }
                order.add(number);
                mutex.release();
            });
        }
        Program.sideBySide(workers);
        Program.require(order.equals(List.of(0, 1, 2, 3, 4)), "asked in the order 0 to 4, given in the order " + order);
    }

    private static void revoked(Stage stage, String path) throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        InterProcessMutex held = new InterProcessMutex(stage.client(0), path);
        held.makeRevocable(lock -> asked.countDown());
        held.acquire();
        Revoker.attemptRevoke(stage.client(1), held.getParticipantNodes().iterator().next());
        Program.require(asked.await(Stage.PATIENCE_S, TimeUnit.SECONDS), "the holder is not asked to let go");
        held.release();
    }

    private static void semaphoreMutex(Stage stage) throws Exception {
        String path = stage.path("lock");
        contend(stage, client -> new InterProcessSemaphoreMutex(client, path));

        InterProcessSemaphoreMutex mine = new InterProcessSemaphoreMutex(stage.client(0), path);
        mine.acquire();
        requireShutOut(mine, "a lock that is not reentrant was given to its holder again");
        requireShutOut(new InterProcessSemaphoreMutex(stage.client(1), path), "a held lock was given to another");
        stage.sideBySide(mine::release);
        InterProcessSemaphoreMutex theirs = new InterProcessSemaphoreMutex(stage.client(1), path);
        acquire(theirs, "the next one");
        theirs.release();
        Program.refused(IllegalStateException.class, "a release of what nobody holds", theirs::release);
    }

    private static void readWriteLock(Stage stage) throws Exception {
        String path = stage.path("lock");
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(stage.client(0), path);
        InterProcessReadWriteLock two = new InterProcessReadWriteLock(stage.client(1), path);
        acquire(one.readLock(), "the first reader");
        acquire(two.readLock(), "a second reader");
        requireShutOut(two.writeLock(), "a reader became a writer while another one reads");
        two.readLock().release();
        requireShutOut(two.writeLock(), "a writer came in while there is a reader");
        one.readLock().release();

        acquire(one.writeLock(), "a writer");
        requireShutOut(two.readLock(), "a reader came in while there is a writer");
        requireShutOut(two.writeLock(), "a second writer came in");
        acquire(one.readLock(), "a writer that becomes a reader");
        one.writeLock().release();
        requireShutOut(two.writeLock(), "a writer came in while the former writer reads");
        acquire(two.readLock(), "a reader beside the former writer");
        two.readLock().release();
        one.readLock().release();

        // A writer changes two znodes one after the other; no reader sees them differ.
        List<String> pair = List.of(stage.path("left"), stage.path("right"));
        for (String side : pair) {
            stage.client(0).create().creatingParentsIfNeeded().forPath(side, Program.bytes("none"));
        }
        stage.everyClient((number, client) -> {
            InterProcessReadWriteLock lock = new InterProcessReadWriteLock(client, path);
            InterProcessLock half = number == 0 ? lock.writeLock() : lock.readLock();
            for (int round = 0; round < ROUNDS; round++) {
                acquire(half, "client " + number);
                if (number == 0) {
                    for (String side : pair) {
                        client.setData().forPath(side, Program.bytes(round));
                    }
                } else {
                    String left = Program.text(client.getData().forPath(pair.get(0)));
                    String right = Program.text(client.getData().forPath(pair.get(1)));
                    Program.require(left.equals(right), "a reader sees " + left + " beside " + right);
                }
                half.release();
            }
        });
        stage.requireNoChildren(path, "released locks");
    }

    private static void multiLock(Stage stage) throws Exception {
        List<String> paths = List.of(stage.path("a"), stage.path("b"));
        contend(stage, client -> new InterProcessMultiLock(client, paths));

        InterProcessMultiLock both = new InterProcessMultiLock(stage.client(0), paths);
        InterProcessMutex a = new InterProcessMutex(stage.client(1), paths.get(0));
        InterProcessMutex b = new InterProcessMutex(stage.client(1), paths.get(1));
        both.acquire();
        requireShutOut(a, "the first of the locks was given to another");
        requireShutOut(b, "the second of the locks was given to another");
        both.release();
        acquire(b, "the one who asks for the second lock only");
        requireShutOut(both, "two locks were given, of which one is held");
        acquire(a, "the one who asks for what nobody holds");
        a.release();
        b.release();
    }

    private static void semaphore(Stage stage) throws Exception {
        String path = stage.path("leases");
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        stage.everyClient((number, client) -> {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, 2);
            for (int round = 0; round < ROUNDS; round++) {
                Lease lease = semaphore.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS);
                Program.require(lease != null, "client " + number + " does not get a lease that is free");
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                client.checkExists().forPath(path);
                inside.decrementAndGet();
                semaphore.returnLease(lease);
            }
        });
        Program.require(most.get() <= 2, most + " were inside at once, of two");

        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(stage.client(0), path, 2);
        InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(stage.client(1), path, 2);
        Lease held = mine.acquire();
        requireNone(theirs.acquire(2, 0, TimeUnit.SECONDS), "two leases were given, of which one is held");
        Lease second = theirs.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS);
        Program.require(second != null, "the second of two leases is not given");
        requireNone(mine.acquire(0, TimeUnit.SECONDS), "a third lease was given, of two");
        stage.synced(0);
        int holders = mine.getParticipantNodes().size();
        Program.require(holders == 2, "expected the two holders as participants, found " + holders);
        theirs.returnLease(second);
        mine.returnLease(held);
        Collection<Lease> all = mine.acquire(2, Stage.PATIENCE_S, TimeUnit.SECONDS);
        Program.require(all != null && all.size() == 2, "two leases are not given together");
        mine.returnAll(all);

        try (SharedCount count = new SharedCount(stage.client(0), stage.path("count"), 1);
                SharedCount same = new SharedCount(stage.client(1), stage.path("count"), 1)) {
            count.start();
            same.start();
            String counted = stage.path("counted");
            InterProcessSemaphoreV2 few = new InterProcessSemaphoreV2(stage.client(0), counted, count);
            InterProcessSemaphoreV2 many = new InterProcessSemaphoreV2(stage.client(1), counted, same);
            Lease only = few.acquire();
            requireNone(many.acquire(0, TimeUnit.SECONDS), "a second lease was given, of one");
            stage.sideBySide(() -> count.setCount(2), () -> {
                Lease more = many.acquire(Stage.PATIENCE_S, TimeUnit.SECONDS);
                Program.require(more != null, "the second lease is not given, though the count was raised");
                many.returnLease(more);
            });
            few.returnLease(only);
        }
    }

    private static void requireNone(Object given, String what) {
        Program.require(given == null, what);
    }
}
