package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
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
                Members.eventually("told", () -> events.equals(all));
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
            members.member(1).signal("STOP");
            states.awaitLast(ConnectionState.LOST);
            members.member(1).signal("CONT");
            states.awaitLast(ConnectionState.CONNECTED);
            client.registry().put("/s/stays", "2");
            Members.eventually("told", () -> told.events.contains("UPDATE /s/stays=2")
                    && told.events.contains("REMOVE /s/goes=last"));
            assertEquals(6, told.events.size(), told.events.toString());
            client.close();
            assertNotNull(told.why);
            assertEquals(VivariumException.Kind.CLOSED, told.why.kind());
            assertNotNull(subscription.error());
        }
    }

    @Test
    void whoIsTooSlowIsToldWhatBecameOfIt() throws Exception {
        int writes = 600;
        // The log keeps next to nothing: what happened while the listener was busy has to be found by comparing.
        try (Members members = Members.start(1, "changes.transactions_max=64", "changes.bytes_max=1048576");
                VivariumClient writer = members.client().build();
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE).build()) {
            Registry registry = writer.registry();
            registry.put("/s/changes", "1");
            registry.put("/s/goes", "last");
            registry.put("/s/stays", "1");
            CountDownLatch busy = new CountDownLatch(1);
            CountDownLatch written = new CountDownLatch(1);
            Told told = new Told();
            RegistrySubscription subscription = client.registry().subscribe("/s", event -> {
                told.changed(event);
                if (event.text().equals("begin")) {
                    busy.countDown();
                    try {
                        written.await();
                    } catch (InterruptedException interrupted) {
                        throw new AssertionError(interrupted);
                    }
                }
            });
            assertTrue(subscription.awaitInitialized(Members.PATIENCE));
            registry.put("/s/filler", "begin");
            assertTrue(busy.await(Members.PATIENCE.toSeconds(), TimeUnit.SECONDS));
            String filler = "x".repeat(32 * 1_024);
            for (int each = 0; each < writes; each++) {
                registry.put("/s/filler", each + filler);
            }
            registry.put("/s/changes", "2");
            registry.delete("/s/goes");
            for (int each = 0; each < writes / 10; each++) {
                registry.put("/s/filler", "y" + each + filler);
            }
            registry.put("/s/filler", "end");
            written.countDown();
            Members.eventually("told what became of it", () -> told.events.contains("UPDATE /s/filler=end")
                    && told.events.contains("REMOVE /s/goes=last"));
            long fillers = told.events.stream().filter(each -> each.startsWith("UPDATE /s/filler")).count();
            assertTrue(fillers < writes, "nothing was left out: " + fillers);
            List<String> others = told.events.stream()
                    .filter(each -> !each.contains("/s/filler"))
                    .sorted()
                    .collect(Collectors.toList());
            assertEquals(
                    List.of("ADD /s/changes=1", "ADD /s/goes=last", "ADD /s/stays=1", "ADD /s=", "REMOVE /s/goes=last",
                            "UPDATE /s/changes=2"),
                    others);
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
                Members.eventually("gone", () -> copy.children("/c").equals(List.of("a")));
            }
        }
    }
}
