package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Threads;
import io.vivarium.testkit.Waiting;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;

/** The interface of a host, on both sides of a bridge. */
public abstract class BridgeContract {
    @RegisterExtension
    public static final EmbeddedRegistryExtension FORMER = new EmbeddedRegistryExtension();
    @RegisterExtension
    public static final EmbeddedRegistryExtension CLUSTER = new EmbeddedRegistryExtension();

    private final TestedPlugin<?> plugin;
    private final ApplicationContextRunner host;

    /** {@code former}: a plugin of the type {@code former} in the shape of the host's own, with {@code registry.former.server}. */
    protected BridgeContract(TestedPlugin<?> plugin, Class<?> former) {
        this.plugin = plugin;
        host = new ApplicationContextRunner()
            .withConfiguration(AutoConfigurations.of(plugin.autoConfiguration, former))
            .withPropertyValues("registry.former.server=" + FORMER.getServer().getNativeAddress(),
                "registry.embedded.endpoints=" + CLUSTER.getServer().getNativeAddress());
    }

    @AfterEach
    public void nothingIsLeft() {
        Waiting.until("threads are gone", Threads::ours, () -> Threads.ours().stream()
            .allMatch(thread -> thread.getName().startsWith("vivarium-embedded")));
    }

    static String words(Change change) {
        return change.type() + " " + change.key() + " " + change.path() + "=" + change.data();
    }

    @Test
    public void aNodeInTheBridgeMeetsThoseOnBothOfItsEnds() {
        host.withPropertyValues("registry.type=former").run(before -> host.withPropertyValues("registry.type=embedded")
            .run(after -> {
                for (String side : new String[] {"old", "embedded"}) {
                    host.withPropertyValues("registry.type=embedded", "registry.embedded.bridge.from=former",
                        "registry.embedded.bridge.read-from=" + side).run(between -> meet(registry(between),
                            registry(before), registry(after), side));
                }
            }));
    }

    private RegistryBackend registry(ApplicationContext context) {
        return plugin.asHost(context.getBean(plugin.type));
    }

    private static void meet(RegistryBackend bridge, RegistryBackend old, RegistryBackend embedded, String side) {
        RegistryBackend read = side.equals("old") ? old : embedded;
        Recorder<State> states = new Recorder<>(State::name);
        bridge.addConnectionStateListener(states::tell);
        states.awaitExactly("CONNECTED");
        assertTrue(bridge.isConnected());
        bridge.connectUntilTimeout(Duration.ofSeconds(3));
        Recorder<Change> told = new Recorder<>(BridgeContract::words);
        bridge.subscribe("/nodes/master", told::tell);
        bridge.put("/nodes/master/a:1", "1", true);
        assertEquals("1", old.get("/nodes/master/a:1"));
        assertEquals("1", embedded.get("/nodes/master/a:1"));
        read.put("/nodes/master/a:1", "2", true);
        told.await("UPDATE /nodes/master /nodes/master/a:1=2");
        assertEquals("2", bridge.get("/nodes/master/a:1"));
        bridge.delete("/nodes/master/a:1");
        told.await("REMOVE /nodes/master /nodes/master/a:1=2");
        assertFalse(old.exists("/nodes/master/a:1") || embedded.exists("/nodes/master/a:1"));

        assertTrue(bridge.acquireLock("/lock/a"));
        assertFalse(old.acquireLock("/lock/a", 20));
        assertFalse(embedded.acquireLock("/lock/a", 20));
        assertTrue(bridge.releaseLock("/lock/a"));
        assertTrue(old.acquireLock("/lock/a", 20));
        assertFalse(bridge.acquireLock("/lock/a", 20));
        assertTrue(old.releaseLock("/lock/a"));
        assertTrue(embedded.acquireLock("/lock/a", 20));
        assertFalse(bridge.acquireLock("/lock/a", 20));
        assertTrue(embedded.releaseLock("/lock/a"));
        assertTrue(bridge.acquireLock("/lock/a", 3_000));
        assertTrue(bridge.releaseLock("/lock/a"));
    }
}
