package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * All streams of a client share one connection, and each is told no more than its window until somebody takes it. A
 * session must not end, nor a call wait, because of one that nobody takes.
 */
class SlowSubscriberTest {
    /** Together their windows are several times as large as that of their connection, which is as large as one. */
    private static final int LISTENERS = 6;
    private static final int CHANGES = 120;
    private static final int VALUE_BYTES = 3 * Link.WINDOW_BYTES / 2;
    /** Many intervals, which together are a good part of what suspends a session. */
    private static final int SIGNS = 60;

    /** Does not return from the first change before it is let go on. */
    private static final class Blocked implements RegistryListener {
        final CountDownLatch goOn;
        final List<String> told = new CopyOnWriteArrayList<>();

        Blocked(CountDownLatch goOn) {
            this.goOn = goOn;
        }

        @Override
        public void changed(RegistryEvent event) {
            if (event.path().equals("/slow")) {
                return;
            }
            told.add(event.type() + " " + event.path() + " " + event.value().length);
            try {
                goOn.await();
            } catch (InterruptedException closed) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Also a transport that stands still for good, whose threads take no interruption, fails it in time. */
    @Test
    @Timeout(value = 240, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void whoeverTakesNothingHoldsUpNeitherTheSessionNorCalls() {
        try (Members members = Members.start(1, "timing.session_timeout_ms_max=60000")) {
            States states = new States();
            CountDownLatch goOn = new CountDownLatch(1);
            try (VivariumClient client = members.client()
                            // So that a machine that is busy for some seconds suspends nobody.
                            .sessionTimeout(Duration.ofSeconds(60))
                            .heartbeatInterval(Duration.ofMillis(100))
                            .requestTimeout(Members.PATIENCE)
                            .connectionListener(states)
                            .build();
                    VivariumClient writer = members.client().requestTimeout(Members.PATIENCE).build()) {
                assertEquals(Duration.ofSeconds(60), client.sessionTimeout());
                writer.registry().put("/slow", "");
                List<Blocked> blocked = new ArrayList<>();
                List<RegistrySubscription> subscriptions = new ArrayList<>();
                for (int each = 0; each < LISTENERS; each++) {
                    blocked.add(new Blocked(goOn));
                    subscriptions.add(client.registry().subscribe("/slow", blocked.get(each)));
                    assertTrue(subscriptions.get(each).awaitInitialized(Members.PATIENCE));
                }
                ChangeSubscription unread = client.changes().subscribe(Interest.in("/slow"));
                ChildrenWatch names = client.registry().watchChildren("/slow", Duration.ZERO, (added, removed) -> {
                    try {
                        goOn.await();
                    } catch (InterruptedException closed) {
                        Thread.currentThread().interrupt();
                    }
                });

                List<String> expected = new ArrayList<>();
                for (int each = 0; each < CHANGES; each++) {
                    byte[] value = new byte[VALUE_BYTES];
                    Arrays.fill(value, (byte) each);
                    writer.registry().put("/slow/" + each, value);
                    expected.add("ADD /slow/" + each + " " + VALUE_BYTES);
                }
                for (Blocked each : blocked) {
                    Waiting.until("one change is told", each.told::size, () -> each.told.size() == 1);
                }
                awaitSigns(client);

                // Both ways, and with more than the window of the connection.
                client.registry().put("/answered", new byte[VALUE_BYTES]);
                assertEquals(VALUE_BYTES, client.registry().get("/slow/7").value().length);
                assertEquals(1, blocked.get(0).told.size());
                assertEquals(List.of(ConnectionState.CONNECTED), states.told);

                goOn.countDown();
                for (Blocked each : blocked) {
                    Waiting.until("each change once", each.told::size, () -> each.told.equals(expected));
                }
                List<String> taken = new ArrayList<>();
                while (taken.size() < CHANGES) {
                    ChangeEvent event = unread.next(Members.PATIENCE);
                    if (event.kind() == ChangeEvent.Kind.TRANSACTION) {
                        event.transaction().changes().forEach(change ->
                                taken.add("ADD " + change.path() + " " + change.value().length));
                    }
                }
                assertEquals(expected, taken);
                Waiting.until("all names", () -> names.names().size() == CHANGES);
                for (RegistrySubscription each : subscriptions) {
                    assertEquals(1 + CHANGES, each.entries().size());
                }
                assertEquals(List.of(ConnectionState.CONNECTED), states.told);
            }
        }
    }

    /** So many signs of life are answered from now on. */
    private static void awaitSigns(VivariumClient client) {
        Session session = client.core.session();
        for (int sign = 0; sign < SIGNS; sign++) {
            long before = session.ends();
            Waiting.until("sign of life " + sign + " is answered", client::state, () -> session.ends() != before);
        }
    }
}
