package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Waiting;
import io.vivarium.v1.EnqueueAllRequest;
import io.vivarium.v1.EnqueueAllResponse;
import io.vivarium.v1.SessionRef;
import io.vivarium.v1.TaskServiceGrpc;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TogetherTest {
    private static final Duration LONG = Duration.ofSeconds(60);

    private final Session session = new Session(SessionRef.getDefaultInstance(), TimeUnit.HOURS.toNanos(1), 0);
    /** Of each batch that was sent, {@code queue part part …}. */
    private final List<String> batches = new CopyOnWriteArrayList<>();
    private final Semaphore may = new Semaphore(0);
    private final Together<String, String> together = new Together<>(this::send);
    private Server server;
    private VivariumClient client;

    private List<String> send(
            VivariumClient client, Session session, Deadline deadline, String queue, List<String> parts) {
        batches.add(queue + " " + String.join(" ", parts));
        may.acquireUninterruptibly();
        if (parts.contains("wrong")) {
            throw VivariumException.refused(Reason.VALUE_TOO_LARGE, "a part is too large");
        }
        if (parts.contains("lost")) {
            throw VivariumException.sessionLost();
        }
        List<String> answers = new ArrayList<>();
        parts.forEach(part -> answers.add("done " + part));
        return answers;
    }

    @BeforeEach
    void open() throws IOException {
        server = OtherMember.start();
        client = VivariumClient.builder().endpoints("127.0.0.1:" + server.getPort()).build();
    }

    @AfterEach
    void close() {
        may.release(1_000_000);
        client.close();
        server.shutdownNow();
    }

    private Background<String> begin(String queue, String part, int bytes) {
        return new Background<>(() -> together.send(client, session, Deadline.in(LONG), queue, part, bytes));
    }

    private Background<String> say(String queue, String part, int bytes) {
        Background<String> said = begin(queue, part, bytes);
        said.awaitBlocked();
        return said;
    }

    /** One batch is under way, which waits to be let go. */
    private Background<String> underWay() {
        Background<String> first = say("/a", "first", 1);
        Waiting.until("it is under way", () -> batches.size() == 1);
        return first;
    }

    @Test
    void whatWaitsForTheSameQueueGoesTogetherWithinTheLimits() {
        Background<String> first = underWay();
        List<Background<String>> others = List.of(
                say("/b", "2", 1), say("/a", "3", 1), say("/a", "4", Together.BYTES_MAX), say("/b", "5", 1));
        may.release(1_000);
        assertEquals("done first", first.get());
        assertEquals(
                List.of("done 2", "done 3", "done 4", "done 5"),
                others.stream().map(Background::get).toList());
        assertEquals(List.of("/a first", "/b 2 5", "/a 3", "/a 4"), batches);
    }

    @Test
    void aBatchHasSoManyPartsAndSoManyMayWait() {
        List<Background<String>> all = new ArrayList<>(List.of(underWay()));
        for (int each = 1; each < Together.PENDING_MAX; each++) {
            all.add(begin("/a", "" + each, 1));
        }
        Waiting.until("all wait", together::pending, () -> together.pending() == Together.PENDING_MAX);
        VivariumException full = assertThrows(
                VivariumException.class,
                () -> together.send(client, session, Deadline.in(Duration.ofMillis(20)), "/a", "late", 1));
        assertEquals(VivariumException.Kind.TIMED_OUT, full.kind());
        assertEquals(false, full.mayBeDone());
        may.release(1_000);
        all.forEach(each -> assertTrue(each.get().startsWith("done ")));
        assertEquals(1 + Together.PENDING_MAX / Together.PARTS_MAX, batches.size());
        assertTrue(batches.stream().allMatch(batch -> batch.split(" ").length <= 1 + Together.PARTS_MAX));
    }

    @Test
    void whoDoesNotWaitAnyMoreHasAskedForNothing() {
        Background<String> first = underWay();
        Background<String> second = say("/a", "second", 1);
        second.interrupt();
        VivariumException given = assertThrows(VivariumException.class, second::get);
        assertEquals(VivariumException.Kind.INTERRUPTED, given.kind());
        assertEquals(false, given.mayBeDone());
        // Who gives up what is under way does not know what it comes to; those beside him are told.
        first.interrupt();
        assertEquals(true, assertThrows(VivariumException.class, first::get).mayBeDone());
        Background<String> third = say("/a", "third", 1);
        may.release(1_000);
        assertEquals("done third", third.get());
        assertEquals(List.of("/a first", "/a third"), batches);
    }

    @Test
    void nobodyIsRefusedForAnothersPart() {
        Background<String> first = underWay();
        Background<String> good = say("/a", "good", 1);
        Background<String> wrong = say("/a", "wrong", 1);
        may.release(1_000);
        first.get();
        assertEquals("done good", good.get());
        assertEquals(
                Reason.VALUE_TOO_LARGE, assertThrows(VivariumException.class, wrong::get).reason());
        assertEquals(List.of("/a first", "/a good wrong", "/a good", "/a wrong"), batches);
    }

    @Test
    void whatIsOfTheSessionIsToldToAll() {
        Background<String> first = underWay();
        Background<String> one = say("/a", "one", 1);
        Background<String> lost = say("/a", "lost", 1);
        may.release(1_000);
        first.get();
        for (Background<String> each : List.of(one, lost)) {
            assertEquals(
                    VivariumException.Kind.SESSION_LOST,
                    assertThrows(VivariumException.class, each::get).kind());
        }
        assertEquals(2, batches.size());
    }

    @Test
    void aFencedPartGoesByItself() {
        Background<String> first = underWay();
        may.release(1);
        VivariumClient fenced = client.fenced(new Fence("/locks/a", 1));
        first.get();
        Background<String> second = say("/a", "second", 1);
        Waiting.until("it is under way", () -> batches.size() == 2);
        may.release(1_000);
        assertEquals("done third", together.send(fenced, session, Deadline.in(LONG), "/a", "third", 1));
        second.get();
        assertEquals(List.of("/a first", "/a second", "/a third"), batches);
    }

    /** Whether it was done is not known. */
    @Test
    void whoWaitsWhenTheClientIsClosedIsToldSo() throws IOException {
        Server silent = OtherMember.start(new TaskServiceGrpc.TaskServiceImplBase() {
            @Override
            public void enqueueAll(EnqueueAllRequest request, StreamObserver<EnqueueAllResponse> never) {
                batches.add("" + request.getTasksCount());
            }
        });
        try {
            VivariumClient other =
                    VivariumClient.builder().endpoints("127.0.0.1:" + silent.getPort()).build();
            Background<Enqueued> under = new Background<>(() -> other.tasks().enqueue("/a", Task.of("1").build()));
            Waiting.until("it is under way", () -> batches.size() == 1);
            Background<Enqueued> waiting = new Background<>(() -> other.tasks().enqueue("/a", Task.of("2").build()));
            waiting.awaitBlocked();
            other.close();
            VivariumException closed = assertThrows(VivariumException.class, under::get);
            assertEquals(VivariumException.Kind.CLOSED, closed.kind(), closed.getMessage());
            assertTrue(closed.mayBeDone());
            assertEquals(
                    VivariumException.Kind.CLOSED,
                    assertThrows(VivariumException.class, waiting::get).kind());
            assertEquals(List.of("1"), batches);
        } finally {
            silent.shutdownNow();
        }
    }

    @Test
    void afterTheEndNothingIsSent() {
        client.close();
        VivariumException closed = assertThrows(
                VivariumException.class, () -> together.send(client, session, Deadline.in(LONG), "/a", "late", 1));
        assertEquals(VivariumException.Kind.CLOSED, closed.kind());
        assertEquals(List.of(), batches);
    }
}
