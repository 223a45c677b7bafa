package clients.recipes;

import clients.Program;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicValue;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.retry.RetryOneTime;

/** Numbers and values that several processes move on: no step is lost, none is done twice. */
final class Counters {
    private static final int STEPS = 5;
    /** So many tries that one of them is first, however many others there are. */
    private static final RetryNTimes OFTEN = new RetryNTimes(1000, 1);

    static void all(Recipes recipes) {
        recipes.prove("SharedCount", "a step from a stale count is refused, and everybody is told of each change",
                Counters::sharedCount);
        recipes.prove("SharedValue", "a change of a stale value is refused, and everybody sees the last one",
                Counters::sharedValue);
        recipes.prove("DistributedAtomicLong", "no acknowledged step is lost, and none is done twice",
                Counters::atomicLong);
        recipes.prove("DistributedAtomicInteger", "compared and set in one step", Counters::atomicInteger);
        recipes.prove("DistributedAtomicValue", "initialised once, compared and set in one step",
                Counters::atomicValue);
        recipes.prove("PromotedToLock", "a counter under contention goes on under a lock, and loses nothing",
                Counters::promotedToLock);
        recipes.prove("CachedAtomicLong", "numbers drawn in lots by several clients are all different",
                Counters::cachedAtomicLong);
    }

    private static void sharedCount(Stage stage) throws Exception {
        String path = stage.path("count");
        AtomicInteger lastTold = new AtomicInteger();
        try (SharedCount observer = new SharedCount(stage.client(2), path, 0)) {
            observer.addListener(new SharedCountListener() {
                @Override
                public void countHasChanged(SharedCountReader count, int now) {
                    int before = lastTold.getAndSet(now);
                    Program.require(now >= before, "the count goes back from " + before + " to " + now);
                }

                @Override
                public void stateChanged(CuratorFramework client, ConnectionState state) {}
            });
            observer.start();
            stage.everyClient((number, client) -> {
                try (SharedCount count = new SharedCount(client, path, 0)) {
                    count.start();
                    for (int done = 0; done < STEPS; ) {
                        VersionedValue<Integer> before = count.getVersionedValue();
                        if (count.trySetCount(before, before.getValue() + 1)) {
                            done++;
                        }
                    }
                }
            });
            int total = STEPS * stage.size();
            Program.eventually("the observer sees the count " + total, () -> observer.getCount() == total);
            Program.eventually("the observer is told of the count " + total, () -> lastTold.get() == total);
            VersionedValue<Integer> stale = observer.getVersionedValue();
            observer.setCount(100);
            Program.require(!observer.trySetCount(stale, 7), "a stale count was taken");
            Program.require(observer.getCount() == 100, "the count is " + observer.getCount() + " instead of 100");
        }
    }

    private static void sharedValue(Stage stage) throws Exception {
        String path = stage.path("value");
        try (SharedValue one = new SharedValue(stage.client(0), path, Program.bytes("seed"));
                SharedValue two = new SharedValue(stage.client(1), path, Program.bytes("other seed"))) {
            one.start();
            two.start();
            Program.require(Program.text(two.getValue()).equals("seed"), "the second seed replaced the first");
            VersionedValue<byte[]> before = two.getVersionedValue();
            one.setValue(Program.bytes("first"));
            Program.require(!two.trySetValue(before, Program.bytes("second")), "a stale value was taken");
            Program.eventually("the value is seen", () -> Program.text(two.getValue()).equals("first"));
            Program.require(two.trySetValue(two.getVersionedValue(), Program.bytes("second")), "a value was refused");
            Program.eventually("the value is seen", () -> Program.text(one.getValue()).equals("second"));
        }
    }

    private static void atomicLong(Stage stage) throws Exception {
        String path = stage.path("long");
        Set<Long> values = ConcurrentHashMap.newKeySet();
        stage.everyClient((number, client) -> {
            DistributedAtomicLong counter = new DistributedAtomicLong(client, path, OFTEN);
            for (int step = 0; step < STEPS; step++) {
                AtomicValue<Long> result = counter.increment();
                Program.require(result.succeeded(), "an increment gave up");
                Program.require(result.postValue() == result.preValue() + 1, "a step from " + result.preValue()
                        + " to " + result.postValue());
                Program.require(values.add(result.postValue()), result.postValue() + " was reached twice");
            }
        });
        stage.synced(0);
        DistributedAtomicLong counter = new DistributedAtomicLong(stage.client(0), path, OFTEN);
        long total = (long) STEPS * stage.size();
        Program.require(counter.get().postValue() == total, "counted " + counter.get().postValue() + " of " + total);
        Program.require(counter.subtract(5L).postValue() == total - 5, "5 were not taken away");
        Program.require(!counter.compareAndSet(total, 0L).succeeded(), "set by a wrong comparison");
        Program.require(counter.compareAndSet(total - 5, 0L).succeeded(), "not set by a right comparison");
        Program.require(!counter.initialize(9L), "initialised again");
    }

    private static void atomicInteger(Stage stage) throws Exception {
        String path = stage.path("integer");
        DistributedAtomicInteger one = new DistributedAtomicInteger(stage.client(0), path, OFTEN);
        DistributedAtomicInteger two = new DistributedAtomicInteger(stage.client(1), path, OFTEN);
        Program.require(one.initialize(3), "not initialised");
        stage.synced(1);
        Program.require(two.add(4).postValue() == 7, "3 and 4 are not 7");
        stage.synced(0);
        Program.require(!one.compareAndSet(3, 1).succeeded(), "set by a wrong comparison");
        Program.require(one.compareAndSet(7, 1).succeeded(), "not set by a right comparison");
        Program.require(one.decrement().postValue() == 0, "1 less 1 is not 0");
    }

    private static void atomicValue(Stage stage) throws Exception {
        String path = stage.path("value");
        AtomicInteger initialised = new AtomicInteger();
        AtomicInteger set = new AtomicInteger();
        stage.everyClient((number, client) -> {
            DistributedAtomicValue value = new DistributedAtomicValue(client, path, OFTEN);
            if (value.initialize(Program.bytes("begin"))) {
                initialised.incrementAndGet();
            }
            stage.synced(number);
            // All compare with the same, so one of them sets.
            if (value.compareAndSet(Program.bytes("begin"), Program.bytes("by " + number)).succeeded()) {
                set.incrementAndGet();
            }
        });
        Program.require(initialised.get() == 1, "initialised " + initialised + " times");
        Program.require(set.get() == 1, "set " + set + " times by the same comparison");
        DistributedAtomicValue value = new DistributedAtomicValue(stage.client(0), path, OFTEN);
        AtomicValue<byte[]> last = value.trySet(Program.bytes("end"));
        Program.require(last.succeeded() && Program.text(last.preValue()).startsWith("by "), "the value was not set");
        value.forceSet(Program.bytes("forced"));
        Program.require(Arrays.equals(value.get().postValue(), Program.bytes("forced")), "another value is there");
    }

    private static void promotedToLock(Stage stage) throws Exception {
        String path = stage.path("counter");
        AtomicInteger promoted = new AtomicInteger();
        AtomicInteger steps = new AtomicInteger();
        // Until one of them was late, and had to take the lock.
        Program.eventually("somebody goes on under the lock", () -> {
            stage.everyClient((number, client) -> {
                PromotedToLock promotion = PromotedToLock.builder()
                        .lockPath(stage.path("lock"))
                        .timeout(Stage.PATIENCE_S, TimeUnit.SECONDS)
                        .retryPolicy(OFTEN)
                        .build();
                DistributedAtomicLong counter =
                        new DistributedAtomicLong(client, path, new RetryNTimes(0, 0), promotion);
                AtomicValue<Long> result = counter.increment();
                Program.require(result.succeeded(), "an increment gave up, though it could take the lock");
                steps.incrementAndGet();
                if (result.getStats().getPromotedLockTries() > 0) {
                    promoted.incrementAndGet();
                }
            });
            return promoted.get() > 0;
        });
        stage.synced(0);
        long counted = new DistributedAtomicLong(stage.client(0), path, new RetryOneTime(1)).get().postValue();
        Program.require(counted == steps.get(), steps + " steps were acknowledged and " + counted + " are there");
    }

    private static void cachedAtomicLong(Stage stage) throws Exception {
        Set<Long> drawn = ConcurrentHashMap.newKeySet();
        stage.everyClient((number, client) -> {
            CachedAtomicLong numbers =
                    new CachedAtomicLong(new DistributedAtomicLong(client, stage.path("lots"), OFTEN), 3);
            for (int i = 0; i < 2 * STEPS; i++) {
                AtomicValue<Long> next = numbers.next();
                Program.require(next.succeeded(), "a lot was not drawn");
                Program.require(drawn.add(next.postValue()), next.postValue() + " was drawn twice");
            }
        });
        Program.require(drawn.size() == 2 * STEPS * stage.size(), drawn.size() + " different numbers");
    }
}
