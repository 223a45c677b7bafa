package io.vivarium.dolphinscheduler.v31;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.plugin.FailureContract;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Recorder;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.dolphinscheduler.registry.api.ConnectionState;
import org.apache.dolphinscheduler.registry.api.Event;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What DolphinScheduler 3.1 expects of a registry: its own ZooKeeper plugin at our ZooKeeper port and ours at the
 * native API, each for itself and both on one tree.
 */
class RegistryScenarioTest extends FailureContract {
    private static int count;
    private final String namespace = "scenario-" + ++count;
    private final List<Registry> open = new ArrayList<>();

    RegistryScenarioTest() {
        super(Tested.PLUGIN);
    }

    @AfterEach
    void close() throws IOException {
        for (Registry registry : open) {
            registry.close();
            registry.close();
        }
    }

    private Registry start(Subject subject) {
        Registry registry = subject.start(SERVER.getServer(), namespace, before -> { });
        open.add(registry);
        return registry;
    }

    private static Recorder<Event> follow(Registry registry, String key) {
        Recorder<Event> told = new Recorder<>(event -> event.type() + " " + event.key() + " " + event.path() + "=" + event.data());
        assertTrue(registry.subscribe(key, event -> {
            // Curator's cache has events of its own, which the host's plugin passes on without a type.
            if (event.type() != null) {
                told.tell(event);
            }
        }));
        return told;
    }

    /** The host's own plugin of 3.1 passes on the other three states only; those of later releases tell this one, too. */
    @Test
    void aListenerFromBeforeTheStartIsToldOfTheConnection() {
        Recorder<ConnectionState> told = new Recorder<>(ConnectionState::name);
        Registry registry = Subject.EMBEDDED.start(SERVER.getServer(), namespace,
            before -> before.addConnectionStateListener(told::tell));
        open.add(registry);
        told.awaitExactly("CONNECTED");
    }

    @ParameterizedTest
    @EnumSource
    void whoIsConnectedWaitsForNothing(Subject subject) {
        start(subject).connectUntilTimeout(Duration.ofSeconds(3));
    }

    @ParameterizedTest
    @EnumSource
    void valuesAreSetReadAndRemoved(Subject subject) {
        Registry registry = start(subject);
        assertFalse(registry.exists("/nodes/master"));
        assertThrows(RegistryException.class, () -> registry.get("/nodes/master"));
        assertThrows(RegistryException.class, () -> registry.children("/nodes/master"));
        registry.put("/nodes/master", "", false);
        registry.put("/nodes/master/127.0.0.1:5678", "{\"a\": \"één\"}", true);
        registry.put("/nodes/master/127.0.0.2:5678", "2", true);
        registry.put("/nodes/master/127.0.0.2:5678", "3", true);
        assertEquals("{\"a\": \"één\"}", registry.get("/nodes/master/127.0.0.1:5678"));
        assertEquals("3", registry.get("/nodes/master/127.0.0.2:5678"));
        // The host's plugin sorts them the other way round.
        assertEquals(Set.of("127.0.0.1:5678", "127.0.0.2:5678"), new TreeSet<>(registry.children("/nodes/master")));
        assertEquals(List.of("master"), new ArrayList<>(registry.children("/nodes")));
        registry.delete("/nodes/master/127.0.0.1:5678");
        registry.delete("/nodes/master/127.0.0.1:5678");
        assertFalse(registry.exists("/nodes/master/127.0.0.1:5678"));
        registry.delete("/nodes");
        assertFalse(registry.exists("/nodes"));
    }

    /** A registry that writes, and one that is told: each with each. */
    @ParameterizedTest
    @CsvSource({"ZOOKEEPER, ZOOKEEPER", "EMBEDDED, EMBEDDED", "ZOOKEEPER, EMBEDDED", "EMBEDDED, ZOOKEEPER"})
    void bothSeeOneTree(Subject writing, Subject told) throws IOException {
        Registry writer = start(writing);
        writer.put("/nodes/master", "", false);
        writer.put("/nodes/master2/x", "not asked for", false);
        writer.put("/nodes/master/a:1", "1", true);
        Registry reader = start(told);
        assertEquals("1", reader.get("/nodes/master/a:1"));
        Recorder<Event> events = follow(reader, "/nodes/master");
        events.awaitExactly("ADD /nodes/master /nodes/master=", "ADD /nodes/master /nodes/master/a:1=1");
        writer.put("/nodes/master/a:1", "2", true);
        events.await("UPDATE /nodes/master /nodes/master/a:1=2");
        writer.put("/nodes/master/b:1", "3", true);
        events.await("ADD /nodes/master /nodes/master/b:1=3");
        writer.delete("/nodes/master/b:1");
        events.await("REMOVE /nodes/master /nodes/master/b:1=3");
        writer.close();
        events.awaitExactly("ADD /nodes/master /nodes/master=", "ADD /nodes/master /nodes/master/a:1=1",
            "UPDATE /nodes/master /nodes/master/a:1=2", "ADD /nodes/master /nodes/master/b:1=3",
            "REMOVE /nodes/master /nodes/master/b:1=3", "REMOVE /nodes/master /nodes/master/a:1=2");
        reader.unsubscribe("/nodes/master");
    }

    /** The same lock, whoever asks: Curator's recipe and the native API stand in one line. */
    @ParameterizedTest
    @CsvSource({"ZOOKEEPER, ZOOKEEPER", "EMBEDDED, EMBEDDED", "ZOOKEEPER, EMBEDDED", "EMBEDDED, ZOOKEEPER"})
    void locksExcludeEachOther(Subject first, Subject second) throws IOException {
        Registry one = start(first);
        Registry other = start(second);
        assertTrue(one.acquireLock("/lock/masters"));
        Background<Boolean> waiting = new Background<>(() -> other.acquireLock("/lock/masters"));
        waiting.awaitBlocked();
        assertTrue(one.releaseLock("/lock/masters"));
        assertTrue(waiting.get());

        // What a host held is free when it has gone.
        Background<Boolean> next = new Background<>(() -> one.acquireLock("/lock/masters"));
        next.awaitBlocked();
        other.close();
        assertTrue(next.get());
    }
}
