package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class TasksTest {
    private static final Duration LONG = Duration.ofSeconds(30);

    private static Members members;
    private static VivariumClient client;
    private static VivariumClient other;

    @BeforeAll
    static void start() {
        members = Members.start(1);
        client = members.client().build();
        other = members.client().build();
    }

    @AfterAll
    static void stop() {
        client.close();
        other.close();
        members.close();
    }

    private static Task task(String key) {
        return Task.of(key).action("START").build();
    }

    private static ClaimedTask one(VivariumClient by, String queue) {
        List<ClaimedTask> tasks = by.tasks().fetch(Fetching.from(queue).waiting(LONG));
        assertEquals(1, tasks.size());
        return tasks.get(0);
    }

    /** Of many threads at once: far fewer writes than tasks, and each is answered for itself. */
    @Test
    void whatManyThreadsSayAtOnceGoesTogether() {
        int number = 200;
        ExecutorService threads = Executors.newFixedThreadPool(50);
        try {
            List<CompletableFuture<Enqueued>> enqueuing = new ArrayList<>();
            for (int each = 0; each < number; each++) {
                String key = "" + each;
                enqueuing.add(CompletableFuture.supplyAsync(
                        () -> client.tasks().enqueue("/q/together", task(key)), threads));
            }
            Task tooLarge = Task.of("large").payload(new byte[65 << 10]).build();
            CompletableFuture<Reason> refused = CompletableFuture.supplyAsync(
                    () -> assertThrows(
                            VivariumException.class, () -> client.tasks().enqueue("/q/together", tooLarge)).reason(),
                    threads);
            Map<Long, String> enqueued = new ConcurrentHashMap<>();
            Set<Long> writes = new HashSet<>();
            for (int each = 0; each < number; each++) {
                Enqueued answer = enqueuing.get(each).orTimeout(60, TimeUnit.SECONDS).join();
                enqueued.put(answer.id(), "" + each);
                writes.add(answer.zxid());
            }
            assertEquals(number, enqueued.size());
            assertTrue(writes.size() <= number / 2, writes.size() + " writes of " + number + " tasks");
            assertEquals(Reason.LIMIT_REACHED, refused.orTimeout(60, TimeUnit.SECONDS).join());
            List<CompletableFuture<Void>> finishing = new ArrayList<>();
            while (finishing.size() < number) {
                for (ClaimedTask claimed : client.tasks().fetch(Fetching.from("/q/together").limit(64).waiting(LONG))) {
                    assertEquals(enqueued.get(claimed.id()), claimed.task().key());
                    finishing.add(CompletableFuture.runAsync(claimed::complete, threads));
                }
            }
            finishing.forEach(each -> each.orTimeout(60, TimeUnit.SECONDS).join());
            Waiting.until("all are gone", () -> client.tasks().list("/q/together").isEmpty());
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void aTaskIsEnqueuedClaimedAndCompletedOnce() {
        Tasks tasks = client.tasks();
        Task task = Task.of("100001")
                .action("START")
                .engine("flink")
                .property("args", "-x")
                .payload(new byte[] {1, 2})
                .autoStart(true)
                .priority(3)
                .idempotencyKey("start-1")
                .build();
        Enqueued first = tasks.enqueue("/q/once", task);
        assertFalse(first.known());
        Enqueued again = other.tasks().enqueue("/q/once", task);
        assertTrue(again.known());
        assertEquals(first.id(), again.id());
        ClaimedTask claimed = one(other, "/q/once");
        assertEquals(first.id(), claimed.id());
        assertEquals("-x", claimed.task().properties().get("args"));
        assertEquals(2, claimed.task().payload().length);
        assertTrue(claimed.task().autoStart() && claimed.isHeld());
        assertEquals(1, claimed.attempts());
        assertEquals(TaskStanding.CLAIMED, tasks.get("/q/once", first.id()).standing());
        assertTrue(tasks.fetch(Fetching.from("/q/once")).isEmpty());
        claimed.complete();
        assertFalse(claimed.isHeld());
        VivariumException gone =
                assertThrows(VivariumException.class, () -> tasks.get("/q/once", first.id()));
        assertEquals(Reason.NO_ENTRY, gone.reason());
        assertEquals(
                Reason.NOT_CLAIMED_BY_YOU,
                assertThrows(VivariumException.class, claimed::complete).reason());
    }

    @Test
    void priorityGoesFirstAndThenTheId() {
        List<Task> tasks = new ArrayList<>();
        for (int priority : new int[] {5, 9, 0, 5}) {
            tasks.add(Task.of("k").priority(priority).build());
        }
        List<Enqueued> enqueued = client.tasks().enqueueAll("/q/order", tasks, Duration.ZERO);
        List<Long> order = List.of(
                enqueued.get(2).id(), enqueued.get(0).id(), enqueued.get(3).id(), enqueued.get(1).id());
        List<ClaimedTask> fetched = client.tasks().fetch(Fetching.from("/q/order").limit(10).waiting(LONG));
        assertEquals(order, fetched.stream().map(ClaimedTask::id).collect(Collectors.toList()));
        fetched.forEach(ClaimedTask::complete);
    }

    @Test
    void aTaskThatFailsIsTriedAgainAndDeadInTheEnd() {
        Tasks tasks = client.tasks();
        long id = tasks.enqueue("/q/fails", Task.of("k").attemptsMax(2).build()).id();
        ClaimedTask first = one(client, "/q/fails");
        assertFalse(first.fail("no room", Duration.ofMillis(1)));
        ClaimedTask second = one(client, "/q/fails");
        assertEquals(2, second.attempts());
        assertEquals("no room", second.lastError());
        assertTrue(second.token() > first.token());
        // Nothing was begun: the attempt does not count.
        second.giveBack();
        ClaimedTask third = one(client, "/q/fails");
        assertEquals(2, third.attempts());
        assertTrue(third.fail("x".repeat(10_000), Duration.ZERO));
        Waiting.until("it is dead", () -> tasks.listDead("/q/fails").size() == 1);
        TaskState dead = tasks.listDead("/q/fails").get(0);
        assertEquals(id, dead.id());
        assertEquals(ClaimedTask.ERROR_BYTES_MAX, dead.error().length());
        assertEquals(
                Reason.KIND_MISMATCH,
                assertThrows(VivariumException.class, () -> tasks.cancel("/q/fails", id)).reason());
        tasks.redrive("/q/fails", id);
        ClaimedTask redriven = one(client, "/q/fails");
        assertEquals(1, redriven.attempts());
        redriven.close();
        ClaimedTask last = one(client, "/q/fails");
        assertEquals("closed before it was finished", last.lastError());
        assertTrue(last.fail("again", Duration.ZERO));
        tasks.discard("/q/fails", id);
        Waiting.until("nothing is left", () -> tasks.list("/q/fails").isEmpty()
                && tasks.counts("/q/fails").dead() == 0);
    }

    @Test
    void aClaimEndsWithItsSession() {
        client.tasks().enqueue("/q/session", task("k"));
        VivariumClient gone = members.client().build();
        ClaimedTask lost = one(gone, "/q/session");
        gone.close();
        assertFalse(lost.isHeld());
        ClaimedTask next = one(client, "/q/session");
        assertEquals(2, next.attempts());
        next.complete();
        assertThrows(VivariumException.class, lost::complete);
    }

    @Test
    void whatAnInterruptedFetchClaimedIsGivenBack() throws Exception {
        Thread waiting = new Thread(() -> client.tasks().fetch(Fetching.from("/q/broken").waiting(LONG)));
        waiting.setUncaughtExceptionHandler((thread, interrupted) -> {});
        waiting.start();
        Waiting.until("it waits", () -> waiting.getState() == Thread.State.TIMED_WAITING);
        waiting.interrupt();
        Waiting.join(waiting);
        client.tasks().enqueue("/q/broken", task("k"));
        ClaimedTask claimed = one(client, "/q/broken");
        assertEquals("k", claimed.task().key());
        claimed.complete();
    }

    @Test
    void aWorkerDoesEachTaskOnceAndNoMoreThanItsWindowAtOnce() {
        int number = 150;
        Set<Long> done = ConcurrentHashMap.newKeySet();
        AtomicInteger now = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        AtomicInteger failures = new AtomicInteger();
        for (int from = 0; from < number; from += 50) {
            List<Task> tasks = new ArrayList<>();
            for (int each = from; each < from + 50; each++) {
                tasks.add(task("" + each));
            }
            client.tasks().enqueueAll("/q/work", tasks, Duration.ZERO);
        }
        TaskHandler handler = task -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            try {
                if (task.task().key().equals("7") && task.attempts() == 1) {
                    failures.incrementAndGet();
                    throw new TaskFailure("not yet", Duration.ofMillis(1));
                }
                if (task.task().key().equals("8") && task.attempts() == 1) {
                    failures.incrementAndGet();
                    throw new IllegalStateException("at once");
                }
                assertTrue(done.add(task.id()), "twice: " + task);
            } finally {
                now.decrementAndGet();
            }
        };
        try (TaskWorker one = client.tasks().work(Fetching.from("/q/work").limit(4), handler);
                TaskWorker two = other.tasks().work(Fetching.from("/q/work").limit(4), handler)) {
            Waiting.until("all are done", () -> done.size() == number);
            one.close();
            assertTrue(one.awaitIdle(LONG) && two.awaitIdle(LONG));
        }
        assertEquals(2, failures.get());
        assertTrue(most.get() <= 8, "at once: " + most);
        Waiting.until("none is left", () -> client.tasks().list("/q/work").isEmpty());
        VivariumException wide = assertThrows(
                VivariumException.class, () -> client.tasks().work(Fetching.from("/q/work").limit(257), handler));
        assertEquals(VivariumException.Kind.INVALID_OPTIONS, wide.kind());
    }

    @Test
    void aClientHasOnlySoManyTasks() {
        try (VivariumClient greedy = members.client().build()) {
            List<Task> many = Collections.nCopies(Tasks.FETCH_MAX, task("k"));
            for (int number = 0; number <= Claims.CLAIMS_MAX; number += Tasks.FETCH_MAX) {
                client.tasks().enqueueAll("/q/many", many, Duration.ZERO);
            }
            Fetching all = Fetching.from("/q/many").limit(Tasks.FETCH_MAX).waiting(LONG);
            List<ClaimedTask> claimed = new ArrayList<>();
            while (claimed.size() < Claims.CLAIMS_MAX) {
                claimed.addAll(greedy.tasks().fetch(all));
            }
            assertEquals(Claims.CLAIMS_MAX, claimed.size());
            VivariumException more =
                    assertThrows(VivariumException.class, () -> greedy.tasks().fetch(all));
            assertEquals(VivariumException.Kind.INVALID_OPTIONS, more.kind());
            claimed.get(0).complete();
            assertEquals(1, greedy.tasks().fetch(all).size());
        }
    }

    @Test
    void anErrorIsShortenedBetweenCharacters() {
        assertEquals("no room", ClaimedTask.shortened("no room"));
        assertEquals(4_095, ClaimedTask.shortened("x".repeat(4_095) + "ää").length());
    }
}
