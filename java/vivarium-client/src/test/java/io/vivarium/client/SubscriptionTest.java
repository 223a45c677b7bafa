package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Waiting;
import io.vivarium.v1.ChangeLogServiceGrpc;
import io.vivarium.v1.RegistryServiceGrpc;
import io.vivarium.v1.SnapshotBegin;
import io.vivarium.v1.SnapshotEnd;
import io.vivarium.v1.SubscribeRequest;
import io.vivarium.v1.SubscribeResponse;
import io.vivarium.v1.WatchChildrenRequest;
import io.vivarium.v1.WatchChildrenResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class SubscriptionTest {
    /** What a listener was told, as "ADD /a=value". */
    private static final class Told implements RegistryListener {
        final List<String> events = new CopyOnWriteArrayList<>();
        volatile VivariumException why;

        @Override
        public void changed(RegistryEvent event) {
            events.add(event.type() + " " + event.path() + "=" + event.text());
        }

        @Override
        public void initialized() {
            events.add("initialized");
        }

        @Override
        public void ended(VivariumException why) {
            this.why = why;
        }

        void await(String... expected) {
            List<String> all = List.of(expected);
            try {
                Waiting.until("told", () -> events.equals(all));
            } catch (AssertionError late) {
                throw new AssertionError("told " + events + " and not " + all, late);
            }
        }
    }

    @Test
    void whatIsThereIsToldFirstAndThenEachChangeWithItsLastValue() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().build()) {
            Registry registry = client.registry();
            registry.put("/s/a", "1");
            registry.put("/other", "x");
            Told told = new Told();
            RegistrySubscription subscription = registry.subscribe("/s", told);
            assertTrue(subscription.awaitInitialized(Members.PATIENCE));
            VivariumClient owner = members.client().clientId("run").build();
            owner.registry().register("/s/b", "first");
            registry.put("/s/a", "2");
            try (VivariumClient later = members.client().clientId("run").build()) {
                // Taken over: it was never away.
                later.registry().register("/s/b", "second");
                owner.close();
                registry.delete("/s/a");
            }
            told.await(
                    "ADD /s=", "ADD /s/a=1", "initialized", "ADD /s/b=first", "UPDATE /s/a=2", "UPDATE /s/b=second",
                    "REMOVE /s/a=2", "REMOVE /s/b=second");
            assertEquals(List.of("/s"), paths(subscription));
            subscription.close();
            subscription.close();
            registry.put("/s/c", "");
            assertEquals("REMOVE /s/b=second", told.events.get(told.events.size() - 1));
            assertEquals(
                    Reason.INVALID_PATH,
                    assertThrows(VivariumException.class, () -> registry.subscribe("s/", told)).reason());
        }
    }

    private static List<String> paths(RegistrySubscription subscription) {
        return subscription.entries().stream().map(RegistryEvent::path).collect(Collectors.toList());
    }

    @Test
    void aSubscriptionGoesOnAtAnotherMemberAndTellsEachChangeOnce() {
        try (Members members = Members.start(3);
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE).build();
                VivariumClient writer = members.client().requestTimeout(Members.PATIENCE).build()) {
            writer.registry().put("/s/0", "0");
            Told told = new Told();
            RegistrySubscription subscription = client.registry().subscribe("/s", told);
            assertTrue(subscription.awaitInitialized(Members.PATIENCE));
            List<String> expected = new ArrayList<>(List.of("ADD /s=", "ADD /s/0=0", "initialized"));
            for (int each = 1; each <= 60; each++) {
                if (each == 20) {
                    members.member(1).kill();
                }
                writer.registry().put("/s/" + each, "" + each);
                expected.add("ADD /s/" + each + "=" + each);
            }
            told.await(expected.toArray(new String[0]));
            assertFalse(subscription.isStale(), "the session goes on");
            assertEquals(62, subscription.entries().size());
            assertEquals(61, subscription.children("/s").size());
        }
    }

    @Test
    void aSubscriptionOutlivesItsSession() {
        try (Members members = Members.start(1)) {
            States states = new States();
            VivariumClient client = members.client()
                    .sessionTimeout(Duration.ofSeconds(2))
                    .requestTimeout(Members.PATIENCE)
                    .connectionListener(states)
                    .build();
            client.registry().put("/s/stays", "1");
            client.registry().register("/s/goes", "last");
            Told told = new Told();
            RegistrySubscription subscription = client.registry().subscribe("/s", told);
            told.await("ADD /s=", "ADD /s/goes=last", "ADD /s/stays=1", "initialized");
            assertFalse(subscription.isStale());
            members.member(1).signal("STOP");
            states.awaitLast(ConnectionState.LOST);
            assertTrue(subscription.isStale());
            members.member(1).signal("CONT");
            states.awaitLast(ConnectionState.CONNECTED);
            client.registry().put("/s/stays", "2");
            Waiting.until("told", () -> told.events.contains("UPDATE /s/stays=2")
                    && told.events.contains("REMOVE /s/goes=last"));
            assertEquals(6, told.events.size(), told.events.toString());
            Waiting.until("it is up to date", () -> !subscription.isStale());
            client.close();
            assertTrue(subscription.isStale());
            assertNotNull(told.why);
            assertEquals(VivariumException.Kind.CLOSED, told.why.kind());
            assertNotNull(subscription.error());
        }
    }

    private static SubscribeResponse entry(String path, String value, int version, long zxid) {
        return SubscribeResponse.newBuilder()
                .setEntry(io.vivarium.v1.Entry.newBuilder()
                        .setPath(path)
                        .setValue(ByteString.copyFromUtf8(value))
                        .setVersion(version)
                        .setModifiedZxid(zxid))
                .build();
    }

    private static SubscribeResponse begin(long zxid, boolean compacted) {
        return SubscribeResponse.newBuilder()
                .setSnapshotBegin(SnapshotBegin.newBuilder().setZxid(zxid).setCompacted(compacted))
                .build();
    }

    private static SubscribeResponse end(long zxid) {
        return SubscribeResponse.newBuilder()
                .setSnapshotEnd(SnapshotEnd.newBuilder().setZxid(zxid).setThroughZxid(zxid))
                .build();
    }

    /** Its log loses what happened while the client was away. */
    private static final class Forgetful extends ChangeLogServiceGrpc.ChangeLogServiceImplBase {
        final List<SubscribeRequest> asked = new CopyOnWriteArrayList<>();

        @Override
        public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> told) {
            asked.add(request);
            switch (asked.size()) {
                case 1:
                    told.onNext(begin(10, false));
                    told.onNext(entry("/s/changes", "1", 0, 3));
                    // Broken off: the next stream begins anew, and what was told is not told again.
                    told.onError(Status.UNAVAILABLE.asRuntimeException());
                    break;
                case 2:
                    told.onNext(begin(12, false));
                    told.onNext(entry("/s/changes", "1", 0, 3));
                    told.onNext(entry("/s/goes", "last", 0, 4));
                    told.onNext(entry("/s/stays", "1", 0, 5));
                    told.onNext(end(12));
                    told.onError(Status.UNAVAILABLE.asRuntimeException());
                    break;
                case 3:
                    told.onNext(begin(90, true));
                    told.onNext(entry("/s/changes", "2", 1, 80));
                    told.onNext(entry("/s/comes", "new", 0, 81));
                    told.onNext(entry("/s/stays", "1", 0, 5));
                    told.onNext(end(90));
                    break;
                default:
                    throw new AssertionError("asked again: " + request);
            }
        }
    }

    @Test
    void whatIsNotRememberedAnyMoreIsFoundByComparing() throws Exception {
        Forgetful log = new Forgetful();
        Server server = OtherMember.start(log);
        try (VivariumClient client =
                VivariumClient.builder().endpoints("127.0.0.1:" + server.getPort()).build()) {
            Told told = new Told();
            client.registry().subscribe("/s", told);
            told.await(
                    "ADD /s/changes=1", "ADD /s/goes=last", "ADD /s/stays=1", "initialized", "UPDATE /s/changes=2",
                    "ADD /s/comes=new", "REMOVE /s/goes=last");
            assertEquals(12, log.asked.get(2).getAfter());
        } finally {
            server.shutdownNow();
        }
    }

    /** It has one entry more than a copy may hold. */
    private static final class Full extends ChangeLogServiceGrpc.ChangeLogServiceImplBase {
        @Override
        public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> told) {
            told.onNext(begin(10, false));
            for (int each = 0; each <= RegistrySubscription.ENTRIES_MAX; each++) {
                told.onNext(entry("/s/" + each, "", 0, 3));
            }
        }
    }

    @Test
    void aCopyOfMoreThanItMayHoldIsTheEndOfIt() throws Exception {
        Server server = OtherMember.start(new Full());
        try (VivariumClient client =
                VivariumClient.builder().endpoints("127.0.0.1:" + server.getPort()).build()) {
            AtomicInteger told = new AtomicInteger();
            RegistrySubscription copy = client.registry().subscribe("/s", event -> told.incrementAndGet());
            Waiting.until("it has ended", () -> copy.error() != null);
            assertEquals(VivariumException.Kind.CACHE_FULL, copy.error().kind());
            assertEquals(RegistrySubscription.ENTRIES_MAX, told.get());
            assertEquals(RegistrySubscription.ENTRIES_MAX, copy.entries().size());
        } finally {
            server.shutdownNow();
        }
    }

    /** Names only, each once, also after the member was away. */
    @Test
    void whoIsThereIsWatchedByName() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE).build()) {
            Recorder<String> told = new Recorder<>(words -> words);
            ChildrenListener listener = (added, removed) -> told.tell("+" + added + " -" + removed);
            ChildrenWatch watch = client.registry().watchChildren("/w", Duration.ZERO, listener);
            assertEquals(List.of(), watch.names());
            told.awaitExactly("+[] -[]");
            client.registry().register("/w/b", "1");
            told.await("+[b] -[]");
            client.registry().register("/w/a", "1");
            client.registry().update("/w/a", "2");
            client.registry().put("/w/a2/below", "");
            told.await("+[a2] -[]");
            client.registry().delete("/w/b");
            told.awaitExactly("+[] -[]", "+[b] -[]", "+[a] -[]", "+[a2] -[]", "+[] -[b]");
            assertEquals(List.of("a", "a2"), watch.names());
            members.member(1).kill();
            members.member(1).start();
            Registered late = client.registry().register("/w/c", "");
            told.awaitExactly("+[] -[]", "+[b] -[]", "+[a] -[]", "+[a2] -[]", "+[] -[b]", "+[c] -[]");
            Waiting.until("it is as new as that", () -> watch.zxid() >= late.zxid());
            watch.close();
            watch.close();
            client.registry().register("/w/d", "");
            assertEquals(List.of("a", "a2", "c"), watch.names());
            assertThrows(VivariumException.class, () -> client.registry().watchChildren("w", listener));
            client.registry().watchChildren("/none", listener).close();
        }
    }

    /** It never comes to the end of the names. */
    private static final class Crowd extends RegistryServiceGrpc.RegistryServiceImplBase {
        @Override
        public void watchChildren(WatchChildrenRequest request, StreamObserver<WatchChildrenResponse> told) {
            for (int part = 0; part <= 10; part++) {
                WatchChildrenResponse.Builder names =
                        WatchChildrenResponse.newBuilder().setReset(part == 0).setPartial(true).setZxid(1);
                for (int each = 0; each < 10_000; each++) {
                    names.addAdded("n" + (part * 10_000 + each));
                }
                told.onNext(names.build());
            }
        }
    }

    @Test
    void moreNamesThanAWatchMayHoldAreTheEndOfIt() throws Exception {
        Server server = OtherMember.start(new Crowd());
        try (VivariumClient client =
                VivariumClient.builder().endpoints("127.0.0.1:" + server.getPort()).build()) {
            VivariumException full = assertThrows(
                    VivariumException.class, () -> client.registry().watchChildren("/w", (added, removed) -> {}));
            assertEquals(VivariumException.Kind.CACHE_FULL, full.kind(), full.getMessage());
        } finally {
            server.shutdownNow();
        }
    }

    @Test
    void aCopyIsWaitedForAsFarAsAWrite() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().build();
                RegistrySubscription copy = client.registry().cache("/z")) {
            Registered written = client.registry().put("/z/a", "1");
            assertTrue(copy.awaitZxid(written.zxid(), Members.PATIENCE));
            assertEquals("1", copy.get("/z/a").orElseThrow().text());
            assertTrue(copy.zxid() >= written.zxid());
            assertFalse(copy.awaitZxid(Long.MAX_VALUE, Duration.ofMillis(10)));
            // Also where nothing of it is in the copy.
            assertTrue(copy.awaitZxid(client.registry().put("/elsewhere", "").zxid(), Members.PATIENCE));
            copy.close();
            Waiting.until("it has ended", () -> copy.error() != null);
            assertThrows(VivariumException.class, () -> copy.awaitZxid(Long.MAX_VALUE, Members.PATIENCE));
        }
    }

    @Test
    void aCopyHoldsAsMuchAsItIsToldTo() {
        CacheOptions standard = CacheOptions.standard();
        assertEquals(RegistrySubscription.ENTRIES_MAX, standard.entriesMax);
        assertEquals(RegistrySubscription.BYTES_MAX, standard.bytesMax);
        assertThrows(VivariumException.class, () -> standard.entriesMax(0));
        assertThrows(VivariumException.class, () -> standard.bytesMax(0));
        try (Members members = Members.start(1);
                VivariumClient client = members.client().build()) {
            // A name of a character of one byte, one of two and one of three.
            client.registry().put("/b", "");
            client.registry().put("/b/ä", "12");
            client.registry().put("/b/€", "3");
            client.registry().put("/b/c", "");
            long bytes = 2 + (3 + 2 + 2) + (3 + 3 + 1) + (3 + 1);
            client.registry().cache("/b", standard.bytesMax(bytes).entriesMax(4)).close();
            for (CacheOptions few : List.of(standard.bytesMax(bytes - 1), standard.entriesMax(3))) {
                VivariumException full =
                        assertThrows(VivariumException.class, () -> client.registry().cache("/b", few));
                assertEquals(VivariumException.Kind.CACHE_FULL, full.kind());
            }
            // What goes makes room, and what grows takes it.
            RegistrySubscription copy = client.registry().cache("/b", standard.bytesMax(bytes));
            client.registry().delete("/b/c");
            client.registry().put("/b/ä", "1234");
            Waiting.until("it has room", () -> copy.get("/b/ä").map(RegistryEvent::text).orElse("").equals("1234"));
            client.registry().put("/b/ä", "123456789");
            Waiting.until("it has ended", () -> copy.error() != null);
            assertEquals(VivariumException.Kind.CACHE_FULL, copy.error().kind());
        }
    }

    @Test
    void aCopyIsComparedWithWhatIsThere() {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().build()) {
            client.registry().put("/c/a", "1");
            client.registry().put("/c/b/c", "2");
            try (RegistrySubscription copy = client.registry().cache("/c")) {
                assertEquals(List.of("a", "b"), copy.children("/c"));
                assertEquals("2", copy.get("/c/b/c").orElseThrow().text());
                assertFalse(copy.get("/c/none").isPresent());
                client.registry().deleteAll("/c/b");
                Waiting.until("gone", () -> copy.children("/c").equals(List.of("a")));
            }
        }
    }
}
