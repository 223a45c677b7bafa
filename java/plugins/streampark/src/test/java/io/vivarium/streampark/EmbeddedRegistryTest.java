package io.vivarium.streampark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.plugin.EmbeddedRegistryProperties;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Recorder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.streampark.registry.api.ConnectionState;
import org.apache.streampark.registry.api.Event;
import org.apache.streampark.registry.api.Registry;
import org.apache.streampark.registry.api.RegistryException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What the host's shared test of its plugins asks of each, and who is told what. */
class EmbeddedRegistryTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension();

    private static int count;
    private final Recorder<ConnectionState> states = new Recorder<>(ConnectionState::name);
    private Registry registry;

    @BeforeEach
    void open() {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of(SERVER.getServer().getNativeAddress()));
        properties.setNamespace("test-" + ++count);
        registry = new EmbeddedRegistry(properties);
        registry.addConnectionStateListener(states::tell);
        registry.start();
    }

    @AfterEach
    void close() throws Exception {
        registry.close();
        registry.close();
        assertFalse(registry.isConnected());
        assertThrows(RegistryException.class, () -> registry.get("/a"));
    }

    @Test
    void itIsConnectedAfterTheStartAndSaysSo() {
        assertTrue(registry.isConnected());
        registry.connectUntilTimeout(Duration.ofSeconds(3));
        states.awaitExactly("CONNECTED");
    }

    @Test
    void aSubscriberOfAnAbsentKeyIsToldWhatBecomesOfIt() {
        Recorder<Event> told = new Recorder<>(event -> event.type() + " " + event.key() + " " + event.path() + "=" + event.data());
        registry.subscribe("/sub", told::tell);
        registry.put("/sub", "1", false);
        registry.put("/sub", "2", false);
        registry.put("/sub/below", "3", true);
        registry.delete("/sub");
        told.await("REMOVE /sub /sub=2");
        told.awaitExactly("ADD /sub /sub=1", "UPDATE /sub /sub=2", "ADD /sub /sub/below=3", "REMOVE /sub /sub/below=3",
            "REMOVE /sub /sub=2");
    }

    @Test
    void whatIsThereIsToldFirst() {
        registry.put("/nodes/a", "1", true);
        Recorder<Event> told = new Recorder<>(event -> event.type() + " " + event.path() + "=" + event.data());
        registry.subscribe("/nodes", told::tell);
        told.awaitExactly("ADD /nodes=", "ADD /nodes/a=1");
    }

    @Test
    void valuesAndChildren() {
        assertThrows(RegistryException.class, () -> registry.get("/get/put"));
        registry.put("/get/put", "1", true);
        registry.put("/get/put", "2", true);
        assertEquals("2", registry.get("/get/put"));
        registry.delete("/nowhere");
        registry.put("/parent/child/127.0.0.1:8080", "", true);
        registry.put("/parent/child/127.0.0.2:8080", "", true);
        assertEquals(List.of("child"), new ArrayList<>(registry.children("/parent")));
        assertEquals(List.of("127.0.0.1:8080", "127.0.0.2:8080"), new ArrayList<>(registry.children("/parent/child")));
        assertFalse(registry.exists("/parent/other"));
        assertTrue(registry.exists("/parent/child"));
    }

    @Test
    void aLockBelongsToItsThread() {
        assertTrue(registry.acquireLock("/lock"));
        assertTrue(registry.acquireLock("/lock"));
        assertFalse(new Background<>(() -> registry.acquireLock("/lock", 100)).get());
        Background<Boolean> waiting = new Background<>(() -> registry.acquireLock("/lock"));
        waiting.awaitBlocked();
        assertTrue(registry.releaseLock("/lock"));
        assertTrue(waiting.get());
        assertFalse(registry.acquireLock("/lock", 0));
    }
}
