package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Server;
import io.vivarium.testkit.DirectMemory;
import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class SessionTest {
    private static final Duration SHORT = Duration.ofSeconds(2);

    @Test
    void aSessionGoesOnAtAnotherMember() {
        try (Members members = Members.start(3)) {
            States states = new States();
            try (VivariumClient client = members.client()
                            .sessionTimeout(Duration.ofSeconds(20))
                            .requestTimeout(Members.PATIENCE)
                            .connectionListener(states)
                            .build()) {
                long session = client.sessionId();
                client.registry().register("/kept", "mine");
                LockHandle lock = client.locks().acquire("/locks/kept");
                states.await(ConnectionState.CONNECTED);
                // The first endpoint is the first that is tried.
                members.member(1).kill();
                states.await(ConnectionState.CONNECTED, ConnectionState.SUSPENDED, ConnectionState.RECONNECTED);
                assertEquals(session, client.sessionId());
                assertTrue(lock.isHeld());
                assertEquals("mine", client.registry().get("/kept").text());
                client.registry().put("/after", "x");
                lock.release();
            }
            states.await(
                    ConnectionState.CONNECTED,
                    ConnectionState.SUSPENDED,
                    ConnectionState.RECONNECTED,
                    ConnectionState.LOST);
        }
    }

    @Test
    void aSessionThatNobodyTakesIsLostAndFollowedByAnother() {
        try (Members members = Members.start(1)) {
            States states = new States();
            VivariumClient client = members.client().sessionTimeout(SHORT).connectionListener(states).build();
            long session = client.sessionId();
            LockHandle lock = client.locks().acquire("/locks/lost");
            members.member(1).signal("STOP");
            states.awaitLast(ConnectionState.LOST);
            assertEquals(ConnectionState.CONNECTED, states.told.get(0));
            // A busy machine may have suspended it before, too.
            assertEquals(ConnectionState.SUSPENDED, states.told.get(states.told.size() - 2));
            assertFalse(lock.isHeld());
            assertEquals(0, client.sessionId());
            VivariumException late = assertThrows(
                    VivariumException.class,
                    () -> client.withRequestTimeout(Duration.ofMillis(200)).registry().put("/late", ""));
            assertEquals(VivariumException.Kind.TIMED_OUT, late.kind());
            assertFalse(late.mayBeDone(), "it was never sent");
            members.member(1).signal("CONT");
            states.awaitLast(ConnectionState.CONNECTED);
            assertNotEquals(session, client.sessionId());
            assertFalse(lock.isHeld());
            client.withRequestTimeout(Members.PATIENCE).registry().put("/late", "");
            client.close();
            states.awaitLast(ConnectionState.LOST);
        }
    }

    @Test
    void withoutReopeningALostSessionIsTheEnd() {
        try (Members members = Members.start(1)) {
            States states = new States();
            try (VivariumClient client = members.client()
                    .sessionTimeout(SHORT)
                    .reopen(false)
                    .connectionListener(states)
                    .build()) {
                members.member(1).kill();
                states.awaitLast(ConnectionState.LOST);
                VivariumException lost =
                        assertThrows(VivariumException.class, () -> client.registry().exists("/"));
                assertEquals(VivariumException.Kind.SESSION_LOST, lost.kind());
                assertEquals(ConnectionState.LOST, client.state());
            }
        }
    }

    /** Nobody is sent signs of life for ever who answers none. */
    @Test
    void aMemberThatAnswersNothingIsLeftAfterSoManySigns() throws Exception {
        AtomicInteger signs = new AtomicInteger();
        AtomicInteger streams = new AtomicInteger();
        Server deaf = OtherMember.deaf(6_000, signs, streams);
        try (VivariumClient client = VivariumClient.builder()
                .endpoints("127.0.0.1:" + deaf.getPort())
                .heartbeatInterval(Duration.ofMillis(1))
                .build()) {
            Waiting.until("it is left and tried again", streams::get, () -> streams.get() > 1);
            assertNotEquals(0, client.sessionId(), "its session may live");
            // With the first one, which was answered.
            assertTrue(signs.get() > 1 && signs.get() <= 1 + Keeper.SIGNS_MAX, signs + " signs");
        } finally {
            deaf.shutdownNow();
        }
    }

    @Test
    void nothingIsLeftOfAClientThatIsClosed() {
        try (Members members = Members.start(1)) {
            long direct = DirectMemory.used();
            Set<Thread> before = Thread.getAllStackTraces().keySet();
            States states = new States();
            VivariumClient client = members.client().connectionListener(states).build();
            client.registry().register("/short", "");
            client.locks().acquire("/locks/short");
            List<Thread> own = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread -> !before.contains(thread))
                    .filter(thread -> !thread.getName().startsWith("process reaper"))
                    .collect(Collectors.toList());
            assertFalse(own.isEmpty());
            for (Thread thread : own) {
                assertTrue(thread.isDaemon(), thread.getName());
                assertTrue(thread.getName().startsWith("vivarium-"), thread.getName());
            }
            client.close();
            client.close();
            states.await(ConnectionState.CONNECTED, ConnectionState.LOST);
            for (Thread thread : own) {
                Waiting.until(thread.getName() + " has ended", () -> !thread.isAlive());
            }
            Waiting.until("no direct memory is left", () -> DirectMemory.used() <= direct);
            assertTrue(client.isClosed());
            VivariumException closed =
                    assertThrows(VivariumException.class, () -> client.registry().exists("/short"));
            assertEquals(VivariumException.Kind.CLOSED, closed.kind());
            assertThrows(VivariumException.class, () -> client.addConnectionListener(states));
            // What was bound to the session is gone with it, at once.
            try (VivariumClient other = members.client().build()) {
                assertFalse(other.linearizable().registry().exists("/short"));
                assertTrue(other.locks().tryAcquire("/locks/short").isPresent());
            }
        }
    }
}
