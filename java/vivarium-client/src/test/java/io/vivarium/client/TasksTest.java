package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
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
        Members.eventually("it is dead", () -> tasks.listDead("/q/fails").size() == 1);
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
        Members.eventually("nothing is left", () -> tasks.list("/q/fails").isEmpty()
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
        Members.eventually("it waits", () -> waiting.getState() == Thread.State.TIMED_WAITING);
        waiting.interrupt();
        waiting.join();
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
            Members.eventually("all are done", () -> done.size() == number);
            one.close();
            assertTrue(one.awaitIdle(LONG) && two.awaitIdle(LONG));
        }
        assertEquals(2, failures.get());
        assertTrue(most.get() <= 8, "at once: " + most);
        Members.eventually("none is left", () -> client.tasks().list("/q/work").isEmpty());
        VivariumException wide = assertThrows(
                VivariumException.class, () -> client.tasks().work(Fetching.from("/q/work").limit(257), handler));
        assertEquals(VivariumException.Kind.INVALID_OPTIONS, wide.kind());
    }

    @Test
    void anErrorIsShortenedBetweenCharacters() {
        assertEquals("no room", ClaimedTask.shortened("no room"));
        assertEquals(4_095, ClaimedTask.shortened("x".repeat(4_095) + "ää").length());
    }
}
