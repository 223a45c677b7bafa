package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import io.vivarium.v1.ChangeKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class ChangesTest {
    private static Members members;
    private static VivariumClient client;

    @BeforeAll
    static void start() {
        members = Members.start(1, "changes.transactions_max=64");
        client = members.client().build();
    }

    @AfterAll
    static void stop() {
        client.close();
        members.close();
    }

    /** The next one that is no progress. */
    private static ChangeEvent next(ChangeSubscription subscription) {
        for (;;) {
            ChangeEvent event = subscription.next(Members.PATIENCE);
            if (event == null) {
                throw new AssertionError("nothing in time");
            }
            if (event.kind() != ChangeEvent.Kind.PROGRESS) {
                return event;
            }
        }
    }

    @Test
    void whatHappensIsToldInOrder() {
        Changes changes = client.changes();
        try (ChangeSubscription subscription = changes.subscribe(Interest.in("/c1"))) {
            assertNull(subscription.next(Duration.ZERO));
            client.registry().put("/c1/a", "x");
            client.registry().put("/c1/a", "y");
            client.registry().delete("/c1/a");
            Transaction made = next(subscription).transaction();
            assertEquals(client.sessionId(), made.sessionId());
            assertEquals("[ADDED /c1, ADDED /c1/a]", made.changes().toString());
            assertEquals("y", next(subscription).transaction().changes().get(0).text());
            Transaction removed = next(subscription).transaction();
            assertEquals(Change.Kind.REMOVED, removed.changes().get(0).kind());
            assertEquals("y", removed.changes().get(0).text());
            assertTrue(removed.zxid() > made.zxid());
            assertEquals(removed.zxid(), subscription.position());
            List<Transaction> found = changes.query(ChangeQuery.in("/c1").fromMs(made.timeMs()).pageSize(1));
            assertEquals(3, found.size());
            assertEquals(removed.zxid(), found.get(2).zxid());
            // From anywhere on, also at once.
            try (ChangeSubscription again = changes.subscribe(Interest.in("/c1").after(made.zxid()))) {
                assertEquals("y", next(again).transaction().changes().get(0).text());
            }
        }
    }

    @Test
    void aNamedSubscriberGoesOnAfterWhatItAcknowledged() {
        Changes changes = client.changes();
        assertEquals(0, changes.acknowledged("billing"));
        client.registry().put("/c2", "there");
        long last;
        try (ChangeSubscription first = changes.subscribe(Interest.in("/c2").subscriber("billing"))) {
            assertEquals(ChangeEvent.Kind.SNAPSHOT_BEGIN, next(first).kind());
            assertEquals("there", next(first).entry().text());
            ChangeEvent end = next(first);
            assertEquals(ChangeEvent.Kind.SNAPSHOT_END, end.kind());
            client.registry().put("/c2", "1");
            client.registry().put("/c2", "2");
            last = next(first).zxid();
            assertEquals(last, changes.acknowledge("billing", last));
            assertEquals(last, changes.acknowledge("billing", last - 1), "it never goes back");
        }
        try (ChangeSubscription second = changes.subscribe(Interest.in("/c2").subscriber("billing"))) {
            assertEquals("2", next(second).transaction().changes().get(0).text());
        }
        changes.forget("billing");
        changes.forget("billing");
        assertEquals(0, changes.acknowledged("billing"));
    }

    @Test
    void whatIsNotKeptAnyMoreIsSaid() {
        Changes changes = client.changes();
        client.registry().put("/c3", "0");
        long start = changes.lastZxid();
        for (int each = 0; each < 100; each++) {
            client.registry().put("/c3", "" + each);
        }
        Waiting.until("it is forgotten", () -> changes.firstZxid() > start + 1);
        Interest late = Interest.in("/c3").after(start);
        VivariumException compacted =
                assertThrows(VivariumException.class, () -> changes.subscribe(late.orSnapshot(false)));
        assertEquals(Reason.COMPACTED, compacted.reason());
        try (ChangeSubscription anew = changes.subscribe(late.orSnapshot(true))) {
            ChangeEvent begin = next(anew);
            assertEquals(ChangeEvent.Kind.SNAPSHOT_BEGIN, begin.kind());
            assertTrue(begin.compacted());
            assertEquals("99", next(anew).entry().text());
        }
        VivariumException future = assertThrows(
                VivariumException.class, () -> changes.subscribe(Interest.in("/c3").after(Long.MAX_VALUE)));
        assertEquals(Reason.FROM_THE_FUTURE, future.reason());
    }

    @Test
    void whoeverWaitsIsToldThatItIsClosed() throws Exception {
        ChangeSubscription subscription = client.changes().subscribe(Interest.in("/c4"));
        Thread waiting = Thread.currentThread();
        Thread closing = new Thread(() -> {
            Waiting.until("it waits", () -> waiting.getState() == Thread.State.TIMED_WAITING);
            subscription.close();
        });
        closing.start();
        VivariumException closed = assertThrows(VivariumException.class, () -> {
            while (true) {
                subscription.next(Members.PATIENCE);
            }
        });
        assertEquals(VivariumException.Kind.CLOSED, closed.kind());
        Waiting.join(closing);
    }

    private static io.vivarium.v1.Transaction transaction(ChangeKind kind, long zxid) {
        return io.vivarium.v1.Transaction.newBuilder()
                .setZxid(zxid)
                .addChanges(io.vivarium.v1.Change.newBuilder().setKind(kind).setPath("/a"))
                .build();
    }

    /** A snapshot at 7 whose pages were read until 12. */
    private static List<Long> news(Long entry, Object... kindsAndZxids) {
        Seen seen = new Seen();
        if (entry != null) {
            seen.insert("/a", entry);
        }
        seen.isThrough(12);
        List<Long> news = new ArrayList<>();
        for (int at = 0; at < kindsAndZxids.length; at += 2) {
            long zxid = (Integer) kindsAndZxids[at + 1];
            if (!seen.news(transaction((ChangeKind) kindsAndZxids[at], zxid)).isEmpty()) {
                news.add(zxid);
            }
        }
        return news;
    }

    @Test
    void whatASnapshotHasIsLeftOutAndNothingElse() {
        ChangeKind added = ChangeKind.CHANGE_KIND_ADDED;
        ChangeKind updated = ChangeKind.CHANGE_KIND_UPDATED;
        ChangeKind removed = ChangeKind.CHANGE_KIND_REMOVED;
        assertEquals(List.of(11L), news(10L, updated, 9, updated, 11));
        assertEquals(List.of(), news(10L, removed, 8, added, 10));
        assertEquals(List.of(11L, 12L), news(10L, removed, 11, added, 12));
        assertEquals(List.of(), news(null, updated, 8, removed, 9));
        assertEquals(List.of(8L, 9L), news(null, added, 8, updated, 9));
        // After it there is nothing that it could have.
        assertEquals(List.of(13L, 14L), news(null, updated, 13, removed, 14));
        assertFalse(new Seen().news(transaction(updated, 1)).isEmpty());
        assertEquals(List.of("/a"), new Seen().news(transaction(updated, 1)).stream()
                .map(io.vivarium.v1.Change::getPath)
                .collect(Collectors.toList()));
    }
}
