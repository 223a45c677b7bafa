package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class RegistryTest {
    private static Members members;
    private static VivariumClient client;

    @BeforeAll
    static void start() {
        members = Members.start(1);
        client = members.client().build();
    }

    @AfterAll
    static void stop() {
        client.close();
        members.close();
    }

    private static Reason reason(Runnable work) {
        VivariumException error = assertThrows(VivariumException.class, work::run);
        assertEquals(VivariumException.Kind.REFUSED, error.kind(), error.getMessage());
        assertEquals(error.reason().name(), error.reasonName());
        assertFalse(error.mayBeDone());
        return error.reason();
    }

    @Test
    void entriesAreRegisteredReadUpdatedAndRemoved() {
        Registry registry = client.registry();
        assertTrue(registry.put("/entries/a", "one").created());
        assertFalse(registry.put("/entries/a", "two").created());
        Entry entry = registry.get("/entries/a");
        assertEquals("two", entry.text());
        assertArrayEquals(new byte[] {'t', 'w', 'o'}, entry.value());
        assertEquals(Lifetime.PERSISTENT, entry.lifetime());
        assertEquals(0, entry.sessionId());
        assertEquals(OptionalInt.of(entry.version() + 1), registry.update("/entries/a", "three"));
        byte[] bytes = {0, -1};
        assertEquals(
                Reason.VERSION_MISMATCH, reason(() -> registry.update("/entries/a", bytes, entry.version())));
        registry.update("/entries/a", bytes, entry.version() + 1);
        assertArrayEquals(bytes, registry.get("/entries/a").value());
        assertEquals(Reason.NO_ENTRY, reason(() -> registry.update("/entries/none", "x")));
        assertEquals(Reason.NO_ENTRY, reason(() -> registry.get("/entries/none")));
        assertFalse(registry.find("/entries/none").isPresent());

        assertTrue(registry.exists("/entries/a"));
        assertEquals(1, registry.delete("/entries/a"));
        assertEquals(0, registry.delete("/entries/a"));
        assertFalse(registry.exists("/entries/a"));
    }

    @Test
    void childrenAndListsAreWhole() {
        Registry registry = client.registry();
        for (int each = 0; each < 120; each++) {
            registry.put(String.format("/many/%03d/below", each), "v" + each);
        }
        List<String> names = registry.children("/many");
        assertEquals(120, names.size());
        assertEquals("000", names.get(0));
        assertEquals(120, registry.list("/many", 1).size());
        List<Entry> all = registry.list("/many", 0);
        assertEquals(240, all.size());
        assertTrue(all.stream().map(Entry::path).collect(Collectors.toSet()).contains("/many/077/below"));
        assertEquals(Reason.HAS_CHILDREN, reason(() -> registry.delete("/many")));
        assertEquals(241, registry.deleteAll("/many"));
        assertFalse(registry.exists("/many"));
    }

    @Test
    void whatASessionRegisteredEndsWithIt() {
        Registry registry = client.registry();
        try (VivariumClient other = members.client().build()) {
            other.registry().putEphemeral("/nodes/other", "here");
            Entry entry = client.linearizable().registry().get("/nodes/other");
            assertEquals(Lifetime.SESSION, entry.lifetime());
            assertEquals(other.sessionId(), entry.sessionId());
            assertEquals(Reason.ALREADY_REGISTERED, reason(() -> registry.register("/nodes/other", "me")));
            assertEquals(Reason.KIND_MISMATCH, reason(() -> registry.put("/nodes/other", "me")));
            assertEquals(Reason.PARENT_IS_SESSION_BOUND, reason(() -> registry.put("/nodes/other/below", "")));
            assertTrue(registry.register(Registration.of("/nodes/other").onConflict(OnConflict.TAKE_OVER)).takenOver());
            other.registry().putEphemeral("/nodes/second", "here");
        }
        assertTrue(registry.exists("/nodes/other"));
        assertFalse(client.linearizable().registry().exists("/nodes/second"));
    }

    @Test
    void aLaterRunOfAClientTakesOverWhatItRegistered() {
        VivariumClient first = members.client().clientId("worker-7").build();
        long before = first.incarnation();
        first.registry().register("/runs/worker-7", "first");
        try (VivariumClient second = members.client().clientId("worker-7").build()) {
            assertEquals(before + 1, second.incarnation());
            assertTrue(second.registry().register("/runs/worker-7", "second").takenOver());
            first.close();
            assertEquals("second", client.linearizable().registry().get("/runs/worker-7").text());
        }
    }

    @Test
    void whatANodeTellsOfItselfIsRead() {
        NodeInfo node = NodeInfo.builder().hostname("worker-7").port(1234).weight(50).label("zone", "b").build();
        client.registry().register("/info/node", node);
        Entry entry = client.registry().get("/info/node");
        assertEquals(node, entry.node());
        assertEquals(OptionalInt.of(1234), entry.node().port());
        assertEquals("b", entry.node().labels().get("zone"));
        assertTrue(entry.text().contains("\"hostname\""), entry.text());
        JobInfo job = JobInfo.builder().jobId("7").engine("flink").applicationId("a").build();
        client.registry().register(Registration.of("/info/job").value(job));
        assertEquals(job, client.registry().get("/info/job").job());
    }

    @Test
    void whatIsAboveALimitOrNoPathIsRefused() {
        Registry registry = client.registry();
        String segment = "x".repeat(1_000);
        String tooLong = ("/" + segment).repeat(9);
        assertEquals(Reason.LIMIT_REACHED, reason(() -> registry.put(tooLong, "")));
        for (String path : new String[] {"", "a", "/a/", "/a//b", "/a/../b", "/a/./b"}) {
            assertEquals(Reason.INVALID_PATH, reason(() -> registry.put(path, "")), path);
            assertEquals(Reason.INVALID_PATH, reason(() -> registry.get(path)), path);
        }
        assertEquals(Reason.VALUE_TOO_LARGE, reason(() -> registry.put("/large", new byte[(1 << 20) + 1])));
        assertEquals(Reason.LIMIT_REACHED, reason(() -> registry.put("/large", new byte[2 << 20])));
        // What no message may have is refused, too, with the session as it was.
        VivariumException error =
                assertThrows(VivariumException.class, () -> registry.put("/large", new byte[70 << 20]));
        assertNotEquals(VivariumException.Kind.TIMED_OUT, error.kind(), error.getMessage());
        assertFalse(registry.exists("/large"));
    }

    @Test
    void aWriteIsRefusedWithoutTheLockThatItReliesOn() {
        LockHandle lock = client.locks().acquire("/locks/fence");
        VivariumClient fenced = client.fenced(lock.fence());
        fenced.registry().put("/fenced", "held");
        lock.release();
        assertEquals(Reason.STALE_FENCING_TOKEN, reason(() -> fenced.registry().put("/fenced", "late")));
        assertEquals("held", client.registry().get("/fenced").text());
    }
}
