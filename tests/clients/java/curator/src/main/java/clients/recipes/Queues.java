package clients.recipes;

import clients.Program;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.ErrorMode;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Items go through in their order, each once, and none is lost. */
final class Queues {
    private static final int ITEMS = 12;

    static void all(Recipes recipes) {
        recipes.prove("DistributedQueue",
                "items in the order of putting, each to one consumer, and back again after a failure",
                Queues::queue);
        recipes.prove("DistributedIdQueue", "an item can be taken back by its id", Queues::idQueue);
        recipes.prove("DistributedPriorityQueue", "items in the order of their priorities", Queues::priorityQueue);
        recipes.prove("DistributedDelayQueue", "items in the order of their times, and none before its time",
                Queues::delayQueue);
        recipes.prove("SimpleDistributedQueue", "each item to one taker, in the order of offering",
                Queues::simpleQueue);
    }

    /** Text, whose znode holds it as it is. */
    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return Program.bytes(item);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return Program.text(bytes);
        }
    };

    /** Keeps what it was given, in that order. */
    private static class Consumer implements QueueConsumer<String> {
        final List<String> items = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void consumeMessage(String item) throws Exception {
            items.add(item);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}

        void awaitExactly(List<String> expected) throws Exception {
            Program.eventually("consumed are " + expected.size() + " items", () -> items.size() >= expected.size());
            Program.require(items.equals(expected), "expected " + expected + ", consumed " + items);
        }
    }

    private static QueueBuilder<String> on(CuratorFramework client, Consumer consumer, String path) {
        return QueueBuilder.builder(client, consumer, TEXT, path);
    }

    private static void queue(Stage stage) throws Exception {
        String path = stage.path("queue");
        List<String> put = new ArrayList<>();
        Consumer consumer = new Consumer();
        try (DistributedQueue<String> producing = on(stage.client(0), null, path).buildQueue();
                DistributedQueue<String> consuming = on(stage.client(1), consumer, path).buildQueue()) {
            producing.start();
            consuming.start();
            for (int i = 0; i < ITEMS; i++) {
                put.add("item-" + i);
                producing.put("item-" + i);
            }
            Program.require(producing.flushPuts(Stage.PATIENCE_S, TimeUnit.SECONDS), "puts stay unacknowledged");
            consumer.awaitExactly(put);
        }
        stage.requireNoChildren(path, "a queue whose items were consumed");
        sharedByTwo(stage);
    }

    /** With a lock path an item is removed after it was consumed: a consumer that fails gets it again. */
    private static void sharedByTwo(Stage stage) throws Exception {
        String path = stage.path("locked");
        AtomicInteger failures = new AtomicInteger();
        List<String> consumed = Collections.synchronizedList(new ArrayList<>());
        class Failing extends Consumer {
            @Override
            public void consumeMessage(String item) throws Exception {
                if (item.equals("item-3") && failures.incrementAndGet() == 1) {
                    throw new IllegalStateException("the first consumer of item-3 fails, as it should");
                }
                consumed.add(item);
            }
        }
        Set<String> all = ConcurrentHashMap.newKeySet();
        try (DistributedQueue<String> producing = on(stage.client(0), null, path).buildQueue();
                DistributedQueue<String> one =
                        on(stage.client(1), new Failing(), path).lockPath(stage.path("lock")).buildQueue();
                DistributedQueue<String> two =
                        on(stage.client(2), new Failing(), path).lockPath(stage.path("lock")).buildQueue()) {
            producing.start();
            for (DistributedQueue<String> queue : Arrays.asList(one, two)) {
                queue.setErrorMode(ErrorMode.REQUEUE);
                queue.start();
            }
            for (int i = 0; i < ITEMS; i++) {
                all.add("item-" + i);
                producing.put("item-" + i);
            }
            Program.eventually("all items were consumed", () -> consumed.size() >= ITEMS);
            Program.require(consumed.size() == ITEMS && Set.copyOf(consumed).equals(all), "consumed " + consumed);
            Program.require(failures.get() == 2, "item-3 was given " + failures + " times; twice was expected");
        }
    }

    private static void idQueue(Stage stage) throws Exception {
        String path = stage.path("queue");
        Consumer consumer = new Consumer();
        try (DistributedIdQueue<String> producing = on(stage.client(0), null, path).buildIdQueue();
                DistributedIdQueue<String> consuming = on(stage.client(1), consumer, path).buildIdQueue()) {
            producing.start();
            for (String item : List.of("first", "second", "third")) {
                producing.put(item, "id-" + item);
            }
            producing.flushPuts(Stage.PATIENCE_S, TimeUnit.SECONDS);
            Program.require(producing.remove("id-second") == 1, "the second item cannot be taken back");
            Program.require(producing.remove("id-second") == 0, "the second item was taken back twice");
            consuming.start();
            consumer.awaitExactly(List.of("first", "third"));
        }
    }

    private static void priorityQueue(Stage stage) throws Exception {
        String path = stage.path("queue");
        Consumer consumer = new Consumer();
        try (DistributedPriorityQueue<String> producing = on(stage.client(0), null, path).buildPriorityQueue(0);
                DistributedPriorityQueue<String> consuming =
                        on(stage.client(1), consumer, path).buildPriorityQueue(0)) {
            producing.start();
            for (int priority : new int[] {5, -1, 9, 0, 5}) {
                producing.put("priority " + priority, priority);
            }
            producing.flushPuts(Stage.PATIENCE_S, TimeUnit.SECONDS);
            stage.synced(1);
            consuming.start();
            consumer.awaitExactly(List.of("priority -1", "priority 0", "priority 5", "priority 5", "priority 9"));
        }
    }

    private static void delayQueue(Stage stage) throws Exception {
        String path = stage.path("queue");
        long begin = System.currentTimeMillis();
        long[] delays = {600, 200, 400};
        Consumer consumer = new Consumer() {
            @Override
            public void consumeMessage(String item) throws Exception {
                long due = begin + Long.parseLong(item);
                Program.require(System.currentTimeMillis() >= due, "the item of " + item + " ms comes too early");
                super.consumeMessage(item);
            }
        };
        try (DistributedDelayQueue<String> producing = on(stage.client(0), null, path).buildDelayQueue();
                DistributedDelayQueue<String> consuming = on(stage.client(1), consumer, path).buildDelayQueue()) {
            producing.start();
            for (long delay : delays) {
                producing.put(String.valueOf(delay), begin + delay);
            }
            producing.flushPuts(Stage.PATIENCE_S, TimeUnit.SECONDS);
            stage.synced(1);
            consuming.start();
            consumer.awaitExactly(List.of("200", "400", "600"));
        }
    }

    private static void simpleQueue(Stage stage) throws Exception {
        String path = stage.path("queue");
        SimpleDistributedQueue queue = new SimpleDistributedQueue(stage.client(0), path);
        Program.require(queue.poll() == null && queue.peek() == null, "an empty queue gives something");
        Program.refused(NoSuchElementException.class, "the head of an empty queue", queue::element);
        Program.require(queue.poll(1, TimeUnit.MILLISECONDS) == null, "an empty queue gives something");
        queue.offer(Program.bytes("head"));
        Program.require(Program.text(queue.peek()).equals("head"), "the head is not there");
        Program.require(Program.text(queue.element()).equals("head"), "the head was taken by a look at it");
        Program.require(Program.text(queue.remove()).equals("head"), "the head is not taken");

        List<List<Integer>> taken = List.of(new ArrayList<>(), new ArrayList<>());
        AtomicInteger left = new AtomicInteger(ITEMS);
        stage.everyClient((number, client) -> {
            SimpleDistributedQueue same = new SimpleDistributedQueue(client, path);
            if (number == 0) {
                for (int i = 0; i < ITEMS; i++) {
                    same.offer(Program.bytes(i));
                }
            } else {
                while (left.getAndDecrement() > 0) {
                    taken.get(number - 1).add(Integer.parseInt(Program.text(same.take())));
                }
            }
        });
        Set<Integer> different = ConcurrentHashMap.newKeySet();
        for (List<Integer> items : taken) {
            Program.require(items.stream().sorted().toList().equals(items), "taken in the order " + items);
            different.addAll(items);
        }
        Program.require(different.size() == ITEMS, "taken are " + taken);
        stage.requireNoChildren(path, "a queue whose items were taken");
    }
}
