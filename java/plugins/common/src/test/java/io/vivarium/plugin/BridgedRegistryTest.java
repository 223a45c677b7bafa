package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.plugin.EmbeddedRegistryProperties.ReadFrom;
import io.vivarium.plugin.HostRegistryTest.HostException;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Threads;
import io.vivarium.testkit.Waiting;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A bridge from one ensemble to another, either of which fails; those of other kinds are tested with their hosts. */
class BridgedRegistryTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension OLD = extension();
    @RegisterExtension
    static final EmbeddedRegistryExtension EMBEDDED = extension();

    private static EmbeddedRegistryExtension extension() {
        return new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder().setting("timing.tick_ms", "100"));
    }

    private static int count;
    private final List<RegistryBackend> open = new ArrayList<>();
    private String namespace;

    @BeforeEach
    void aNamespaceOfItsOwn() {
        namespace = "bridge-" + ++count;
    }

    @AfterEach
    void nothingIsLeft() {
        open.forEach(RegistryBackend::close);
        open.forEach(RegistryBackend::close);
        Waiting.until("threads are gone", Threads::ours, () -> Threads.ours().stream()
            .allMatch(thread -> thread.getName().startsWith("vivarium-embedded")));
    }

    private EmbeddedRegistryProperties properties(EmbeddedRegistryExtension server) {
        EmbeddedRegistryProperties properties = HostRegistryTest.properties(server.getServer().getNativeAddress());
        properties.setNamespace(namespace);
        properties.setConnectionTimeout(Duration.ofSeconds(1));
        properties.setBlockUntilConnected(Duration.ofSeconds(2));
        return properties;
    }

    private HostRegistry registry(EmbeddedRegistryProperties properties) {
        return new HostRegistry(properties, "default", HostException::new);
    }

    /** A node that has moved, or has not yet. */
    private HostRegistry alone(EmbeddedRegistryExtension server) {
        HostRegistry registry = registry(properties(server));
        open.add(registry);
        registry.start();
        return registry;
    }

    private EmbeddedRegistryProperties bridged(ReadFrom readFrom) {
        EmbeddedRegistryProperties properties = properties(EMBEDDED);
        properties.getBridge().setFrom("other");
        properties.getBridge().setReadFrom(readFrom);
        return properties;
    }

    private RegistryBackend bridge(EmbeddedRegistryProperties properties, HostRegistry old) {
        RegistryBackend bridge = BridgedRegistry.of(registry(properties), old, properties, HostException::new);
        open.add(bridge);
        return bridge;
    }

    private RegistryBackend bridge(ReadFrom readFrom) {
        RegistryBackend bridge = bridge(bridged(readFrom), registry(properties(OLD)));
        bridge.start();
        return bridge;
    }

    private static Recorder<Change> follow(RegistryBackend registry, String key) {
        Recorder<Change> told = new Recorder<>(change -> change.type() + " " + change.path() + "=" + change.data());
        registry.subscribe(key, told::tell);
        return told;
    }

    private static String refused(org.junit.jupiter.api.function.Executable call, String... words) {
        HostException refused = assertThrows(HostException.class, call);
        for (String word : words) {
            assertTrue(refused.getMessage().contains(word), () -> word + " is not in: " + refused.getMessage());
        }
        return refused.getMessage();
    }

    @ParameterizedTest
    @EnumSource
    void whatIsWrittenIsInBothAndReadFromOne(ReadFrom readFrom) {
        HostRegistry old = alone(OLD);
        HostRegistry embedded = alone(EMBEDDED);
        RegistryBackend bridge = bridge(readFrom);
        HostRegistry read = readFrom == ReadFrom.OLD ? old : embedded;
        HostRegistry other = readFrom == ReadFrom.OLD ? embedded : old;
        bridge.put("/nodes/master", "", false);
        bridge.put("/nodes/master/a:1", "1", true);
        assertEquals("1", old.get("/nodes/master/a:1"));
        assertEquals("1", embedded.get("/nodes/master/a:1"));

        read.put("/nodes/master/b:1", "here", true);
        other.put("/nodes/master/c:1", "not here", true);
        assertEquals(Set.of("a:1", "b:1"), new TreeSet<>(bridge.children("/nodes/master")));
        assertFalse(bridge.exists("/nodes/master/c:1"));
        Recorder<Change> told = follow(bridge, "/nodes/master/b:1");
        told.awaitExactly("ADD /nodes/master/b:1=here");
        read.delete("/nodes/master/b:1");
        told.awaitExactly("ADD /nodes/master/b:1=here", "REMOVE /nodes/master/b:1=here");
        bridge.unsubscribe("/nodes/master/b:1");

        // Whichever of them has it.
        bridge.delete("/nodes/master/c:1");
        bridge.delete("/nodes/master/c:1");
        assertFalse(other.exists("/nodes/master/c:1"));
        bridge.close();
        assertFalse(old.exists("/nodes/master/a:1"), "ephemeral entries end with their node");
        assertFalse(embedded.exists("/nodes/master/a:1"));
        assertTrue(old.exists("/nodes/master"));
    }

    @Test
    void aLockIsHeldInBothOrNotAtAll() {
        HostRegistry old = alone(OLD);
        HostRegistry embedded = alone(EMBEDDED);
        RegistryBackend bridge = bridge(ReadFrom.OLD);
        assertTrue(bridge.acquireLock("/lock/a"));
        assertTrue(bridge.acquireLock("/lock/a"), "asked for again it is held at once");
        assertFalse(old.acquireLock("/lock/a", 0));
        assertFalse(embedded.acquireLock("/lock/a", 0));
        assertFalse(new Background<>(() -> bridge.acquireLock("/lock/a", 50)).get());
        assertTrue(new Background<>(() -> bridge.releaseLock("/lock/a")).get(), "a thread without any is told so");
        assertFalse(old.acquireLock("/lock/a", 0));
        assertTrue(bridge.acquireLock("/lock/b"));
        assertTrue(bridge.releaseLock("/lock/b"));
        assertFalse(bridge.releaseLock("/lock/b"), "and one that holds another is told that");
        assertTrue(bridge.releaseLock("/lock/a"));
        assertTrue(old.acquireLock("/lock/a", 0));
        assertTrue(embedded.acquireLock("/lock/a", 0));
        assertFalse(bridge.acquireLock("/lock/a", 50), "the old one is to be had first");
        old.releaseLock("/lock/a");
        assertFalse(bridge.acquireLock("/lock/a", 50), "and the other one too, in the same time");
        assertTrue(old.acquireLock("/lock/a", 0), "what it had of it was given back");
        old.releaseLock("/lock/a");

        Background<Boolean> waiting = new Background<>(() -> bridge.acquireLock("/lock/a"));
        waiting.awaitBlocked();
        awaitHeld(old, "/lock/a");
        waiting.interrupt();
        assertThrows(HostException.class, waiting::get);
        Waiting.until("what it had was given back", () -> old.acquireLock("/lock/a", 0));
    }

    /** Threads of one host exclude each other before any registry is asked. */
    @Test
    void threadsOfOneHostStandInLine() throws Exception {
        RegistryBackend bridge = bridge(ReadFrom.EMBEDDED);
        assertTrue(bridge.acquireLock("/lock/a"));
        Background<Boolean> second = new Background<>(() -> bridge.acquireLock("/lock/a") && bridge.releaseLock("/lock/a"));
        second.awaitBlocked();
        Background<Boolean> third = new Background<>(() -> bridge.acquireLock("/lock/a"));
        third.awaitBlocked();
        bridge.releaseLock("/lock/a");
        assertTrue(second.get());
        assertTrue(third.get());
        Background<Boolean> last = new Background<>(() -> bridge.acquireLock("/lock/a"));
        last.awaitBlocked();
        bridge.close();
        assertThrows(HostException.class, last::get);
        refused(() -> bridge.acquireLock("/lock/a"), "closed");
    }

    /** Where either is lost, what the host had in the other one goes too, and it is told so; it comes back when both do. */
    @ParameterizedTest
    @EnumSource
    void theLossOfEitherIsALoss(ReadFrom failing) {
        EmbeddedRegistryExtension lost = failing == ReadFrom.OLD ? OLD : EMBEDDED;
        EmbeddedRegistryExtension left = failing == ReadFrom.OLD ? EMBEDDED : OLD;
        HostRegistry witness = alone(left);
        RegistryBackend bridge = bridge(ReadFrom.OLD);
        Recorder<State> told = new Recorder<>(State::name);
        bridge.addConnectionStateListener(told::tell);
        bridge.addConnectionStateListener(state -> {
            throw new IllegalStateException("a listener that fails");
        });
        told.awaitExactly("CONNECTED");
        assertTrue(bridge.isConnected());
        bridge.connectUntilTimeout(Duration.ofSeconds(1));
        bridge.put("/nodes/a", "1", true);
        bridge.put("/config", "stays", false);
        Recorder<Change> seen = follow(witness, "/nodes/a");
        seen.awaitExactly("ADD /nodes/a=1");
        assertTrue(bridge.acquireLock("/lock/a"));

        lost.getServer().stop();
        try {
            told.awaitExactly("CONNECTED", "SUSPENDED", "DISCONNECTED");
            assertFalse(bridge.isConnected());
            refused(() -> bridge.connectUntilTimeout(Duration.ofMillis(100)), "Cannot connect to registry",
                "the " + (failing == ReadFrom.OLD ? "old" : "embedded") + " one is not connected");
            seen.awaitExactly("ADD /nodes/a=1", "REMOVE /nodes/a=1");
            assertEquals("stays", witness.get("/config"));
            assertThrows(HostException.class, () -> bridge.put("/nodes/b", "1", true));
            // Nothing is left of it where it can be removed.
            assertThrows(HostException.class, () -> bridge.delete("/config"));
            assertFalse(witness.exists("/config"));
        } finally {
            lost.getServer().start();
        }
        told.awaitExactly("CONNECTED", "SUSPENDED", "DISCONNECTED", "RECONNECTED");
        bridge.connectUntilTimeout(Duration.ZERO);
        bridge.put("/nodes/a", "2", true);
        seen.awaitExactly("ADD /nodes/a=1", "REMOVE /nodes/a=1", "ADD /nodes/a=2");

        // The lock was lost with one of them: the thread stands in line again, and has both.
        assertTrue(bridge.acquireLock("/lock/a"));
        assertFalse(witness.acquireLock("/lock/a", 0));
        assertFalse(alone(lost).acquireLock("/lock/a", 0));
        assertTrue(bridge.releaseLock("/lock/a"));
        assertTrue(witness.acquireLock("/lock/a", 0));
    }

    /**
     * The old registry loses a lock that a thread has, and one whose other half is waited for: neither is held by
     * half, and threads that lost one keep nobody out.
     */
    @Test
    void whatWasLostOfALockIsAskedForAnew() {
        HostRegistry moved = alone(EMBEDDED);
        HostRegistry before = alone(OLD);
        RegistryBackend bridge = bridge(ReadFrom.EMBEDDED);
        Recorder<State> told = new Recorder<>(State::name);
        bridge.addConnectionStateListener(told::tell);
        assertTrue(bridge.acquireLock("/lock/a"));
        assertTrue(moved.acquireLock("/lock/b"));
        Background<Boolean> waiting = new Background<>(() -> bridge.acquireLock("/lock/b"));
        awaitHeld(before, "/lock/b");
        OLD.getServer().stop();
        try {
            told.await("DISCONNECTED");
        } finally {
            OLD.getServer().start();
        }
        told.await("RECONNECTED");
        before.connectUntilTimeout(Duration.ZERO);

        Waiting.until("it ended with its session", () -> before.acquireLock("/lock/b", 0));
        assertTrue(moved.releaseLock("/lock/b"));
        waiting.awaitBlocked();
        assertTrue(before.releaseLock("/lock/b"));
        assertTrue(waiting.get());
        assertFalse(before.acquireLock("/lock/b", 0));
        assertFalse(moved.acquireLock("/lock/b", 0));

        Background<Boolean> other = new Background<>(() -> bridge.acquireLock("/lock/a") && bridge.releaseLock("/lock/a"));
        awaitHeld(before, "/lock/a");
        assertFalse(other.isDone(), "the embedded one is held still");
        assertTrue(bridge.releaseLock("/lock/a"));
        assertTrue(other.get());
        assertTrue(bridge.acquireLock("/lock/a"));
    }

    /** Who asks again for a lock that it has does not lose it by that, whatever is known of the other half. */
    @Test
    void askingAgainGivesNothingAway() {
        RegistryBackend bridge = bridge(ReadFrom.OLD);
        HostRegistry before = alone(OLD);
        Recorder<State> told = new Recorder<>(State::name);
        bridge.addConnectionStateListener(told::tell);
        assertTrue(bridge.acquireLock("/lock/a"));
        EMBEDDED.getServer().stop();
        try {
            told.await("SUSPENDED");
            assertThrows(HostException.class, () -> bridge.acquireLock("/lock/a"));
            assertFalse(before.acquireLock("/lock/a", 0));
        } finally {
            EMBEDDED.getServer().start();
        }
        bridge.connectUntilTimeout(Duration.ZERO);
        assertTrue(bridge.acquireLock("/lock/a"));
        assertFalse(alone(EMBEDDED).acquireLock("/lock/a", 0));
        assertTrue(bridge.releaseLock("/lock/a"));
        assertTrue(before.acquireLock("/lock/a", 0));
    }

    private static void awaitHeld(HostRegistry registry, String lock) {
        Waiting.until("another one has " + lock, () -> {
            boolean free = registry.acquireLock(lock, 0);
            if (free) {
                registry.releaseLock(lock);
            }
            return !free;
        });
    }

    @Test
    void persistentEntriesThatAreNamedAreCopiedWhereTheyAreMissing() {
        HostRegistry old = alone(OLD);
        HostRegistry embedded = alone(EMBEDDED);
        old.put("/config/a", "1", false);
        old.put("/config/a/b", "2", false);
        old.put("/config/c", "3", false);
        old.put("/nodes/master/a:1", "not to be copied", true);
        embedded.put("/config/c", "is there", false);
        EmbeddedRegistryProperties properties = bridged(ReadFrom.OLD);
        properties.getBridge().setCopy(List.of("/config", "/nothing"));
        bridge(properties, registry(properties(OLD))).start();
        assertEquals(List.of("1", "2", "is there"),
            List.of(embedded.get("/config/a"), embedded.get("/config/a/b"), embedded.get("/config/c")));
        assertFalse(embedded.exists("/nodes"));
        assertFalse(embedded.exists("/nothing"));
        for (String wrong : List.of("/", "config", "/config/", "/nodes", "/nodes/master", "/lock/a")) {
            properties.getBridge().setCopy(List.of(wrong));
            refused(() -> bridge(properties, registry(properties(OLD))).start(), "registry.embedded.bridge.copy", "\"" + wrong + "\"");
        }
    }

    /** Nodes that are a step behind or ahead of the others would be taken for dead. */
    @ParameterizedTest
    @EnumSource
    void nobodyBeginsAStepBeforeAllHaveFinishedTheLast(ReadFrom readFrom) {
        HostRegistry other = alone(readFrom == ReadFrom.OLD ? EMBEDDED : OLD);
        other.put("/nodes/master", "", false);
        other.put("/nodes/worker", "", false);
        other.put("/nodes/master/a:1", "", true);
        other.put("/nodes/master/b:1", "", true);
        bridge(readFrom == ReadFrom.OLD ? ReadFrom.EMBEDDED : ReadFrom.OLD).close();
        RegistryBackend early = bridge(bridged(readFrom), registry(properties(OLD)));
        refused(early::start, "[/nodes/master/a:1, /nodes/master/b:1]", "read-from is " + readFrom.name().toLowerCase());

        // Those that leave meanwhile are waited for.
        Background<RegistryBackend> started = new Background<>(() -> bridge(readFrom));
        started.awaitBlocked();
        other.close();
        started.get();
    }

    @Test
    void whatCannotBeBridgedIsSaid() {
        EmbeddedRegistryProperties alone = bridged(ReadFrom.OLD);
        alone.setEndpoints(List.of());
        refused(() -> bridge(alone, registry(properties(OLD))).start(), "registry.embedded.endpoints");
        EmbeddedRegistryProperties itself = bridged(ReadFrom.OLD);
        itself.getBridge().setFrom("embedded");
        refused(() -> bridge(itself, registry(properties(OLD))).start(), "registry.embedded.bridge.from");
        EmbeddedRegistryProperties halfway = properties(EMBEDDED);
        halfway.getBridge().setReadFrom(ReadFrom.EMBEDDED);
        refused(() -> bridge(halfway, null).start(), "registry.embedded.bridge.from must be given");
        refused(() -> bridge(bridged(ReadFrom.OLD), null), "Spring");

        // Either of them cannot be reached: nothing is left of the other one.
        EmbeddedRegistryProperties nowhere = bridged(ReadFrom.OLD);
        nowhere.setEndpoints(List.of("127.0.0.1:1"));
        nowhere.setBlockUntilConnected(Duration.ofSeconds(1));
        RegistryBackend neither = bridge(nowhere, registry(properties(OLD)));
        refused(neither::start, "cannot connect to the registry");
        refused(neither::start, "closed");
        EmbeddedRegistryProperties other = properties(OLD);
        other.setEndpoints(List.of("127.0.0.1:1"));
        other.setBlockUntilConnected(Duration.ofSeconds(1));
        refused(() -> bridge(bridged(ReadFrom.OLD), registry(other)).start(), "cannot connect to the registry");
        refused(() -> bridge(bridged(ReadFrom.OLD), registry(properties(OLD))).exists("/a"), "not started");
    }

    @Test
    void aHostHasSoManyEphemeralEntriesAtMost() {
        RegistryBackend old = new Nothing();
        BridgeConnection connection = new BridgeConnection(HostException::new);
        BridgeEntries entries = new BridgeEntries(old, old, connection, HostException::new, 1);
        for (int i = 0; i < BridgeEntries.EPHEMERALS_MAX; i++) {
            entries.put("/nodes/" + i, "", true);
        }
        refused(() -> entries.put("/nodes/more", "", true), String.valueOf(BridgeEntries.EPHEMERALS_MAX));
        entries.put("/nodes/0", "", true);
        entries.delete("/nodes");
        entries.put("/nodes/more", "", true);
        for (int i = 0; i < BridgeConnection.LISTENERS_MAX; i++) {
            connection.addListener(state -> { });
        }
        refused(() -> connection.addListener(state -> { }), String.valueOf(BridgeConnection.LISTENERS_MAX));
    }

    /** What cannot be removed keeps no host waiting for ever. */
    @Test
    void anEntryIsTriedToBeRemovedSoOftenAtMost() {
        AtomicInteger tries = new AtomicInteger();
        RegistryBackend stubborn = new Nothing() {
            @Override
            public void delete(String key) {
                tries.incrementAndGet();
                throw new HostException("cannot delete " + key, null);
            }
        };
        BridgeConnection connection = new BridgeConnection(HostException::new);
        BridgeEntries entries = new BridgeEntries(new Nothing(), stubborn, connection, HostException::new, 1);
        Recorder<State> told = new Recorder<>(State::name);
        connection.addListener(told::tell);
        entries.start();
        connection.start(entries::isSettled);
        try {
            told.awaitExactly("CONNECTED");
            entries.put("/nodes/a", "", true);
            connection.told(BridgeConnection.Side.OLD, State.DISCONNECTED);
            connection.told(BridgeConnection.Side.OLD, State.RECONNECTED);
            told.awaitExactly("CONNECTED", "DISCONNECTED", "RECONNECTED");
            assertEquals(BridgeEntries.REMOVE_TRIES_MAX, tries.get());
        } finally {
            connection.close();
            entries.close();
        }
    }

    @Test
    void soManyEntriesAreCopiedAtMost() {
        class Full extends Nothing {
            @Override
            public Collection<String> children(String key) {
                return key.equals("/config")
                    ? IntStream.range(0, BridgedRegistry.COPIED_MAX).mapToObj(String::valueOf).collect(Collectors.toList())
                    : Collections.emptyList();
            }

            @Override
            public boolean exists(String key) {
                return true;
            }
        }
        EmbeddedRegistryProperties properties = bridged(ReadFrom.OLD);
        properties.getBridge().setCopy(List.of("/config"));
        RegistryBackend bridge = BridgedRegistry.of(registry(properties), new Full(), properties, HostException::new);
        open.add(bridge);
        refused(bridge::start, "registry.embedded.bridge.copy", String.valueOf(BridgedRegistry.COPIED_MAX));
    }
}
