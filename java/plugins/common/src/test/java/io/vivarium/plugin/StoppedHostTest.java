package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Child;
import io.vivarium.testkit.Recorder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Hosts whose process is stopped for longer than their session lives, or killed. */
class StoppedHostTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder()
        .setting("timing.tick_ms", "100"));

    private static final String NAMESPACE = "stopped";

    @Test
    void aHostThatWasStoppedForTooLongIsToldAndComesBack() throws Exception {
        EmbeddedRegistryProperties properties = HostRegistryTest.properties(SERVER.getServer().getNativeAddress());
        properties.setNamespace(NAMESPACE);
        try (Child host = Child.start(Host.class, SERVER.getServer().getNativeAddress(), NAMESPACE);
            HostRegistry witness = new HostRegistry(properties, "default", IllegalStateException::new)) {
            witness.start();
            host.await("READY");
            Recorder<Change> told = new Recorder<>(change -> change.type() + " " + change.data());
            witness.subscribe("/nodes/host", told::tell);
            told.awaitExactly("ADD first");
            host.signal("STOP");
            told.awaitExactly("ADD first", "REMOVE first");
            assertTrue(witness.acquireLock("/lock/host"), "what it held ended with its session");
            host.signal("CONT");
            host.await("DISCONNECTED");
            host.await("RECONNECTED");
            List<String> states = host.lines();
            assertTrue(states.indexOf("DISCONNECTED") < states.lastIndexOf("RECONNECTED"), states::toString);
            told.awaitExactly("ADD first", "REMOVE first", "ADD again");

            host.close();
            told.awaitExactly("ADD first", "REMOVE first", "ADD again", "REMOVE again");
        }
    }
}
