package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Background;
import io.vivarium.testkit.Recorder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the host's shared test of its plugins asks of each, and who is told what. */
public abstract class RegistryContract extends FailureContract {
    private static int count;
    private final Recorder<State> states = new Recorder<>(State::name);
    private PluginRegistry made;
    /** As the host calls it. */
    private RegistryBackend registry;

    protected RegistryContract(TestedPlugin<?> plugin) {
        super(plugin);
    }

    @BeforeEach
    public void open() {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of(SERVER.getServer().getNativeAddress()));
        properties.setNamespace("test-" + ++count);
        made = plugin.make(properties);
        registry = plugin.asHost(made);
        registry.addConnectionStateListener(states::tell);
        made.start();
    }

    @AfterEach
    public void close() {
        made.close();
        made.close();
        assertFalse(registry.isConnected());
        assertThrows(plugin.exception, () -> registry.get("/a"));
    }

    @Test
    public void itIsConnectedAfterTheStartAndSaysSo() {
        assertTrue(registry.isConnected());
        registry.connectUntilTimeout(Duration.ofSeconds(3));
        states.awaitExactly("CONNECTED");
    }

    @Test
    public void aSubscriberOfAnAbsentKeyIsToldWhatBecomesOfIt() {
        Recorder<Change> told = new Recorder<>(BridgeContract::words);
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
    public void whatIsThereIsToldFirst() {
        registry.put("/nodes/a", "1", true);
        Recorder<Change> told = new Recorder<>(BridgeContract::words);
        registry.subscribe("/nodes", told::tell);
        told.awaitExactly("ADD /nodes /nodes=", "ADD /nodes /nodes/a=1");
    }

    @Test
    public void valuesAndChildren() {
        assertThrows(plugin.exception, () -> registry.get("/get/put"));
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
    public void aLockBelongsToItsThread() {
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
