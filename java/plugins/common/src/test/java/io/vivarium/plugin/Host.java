package io.vivarium.plugin;

import java.time.Duration;
import java.util.List;

/** A host in a process of its own, which tests stop and kill: registers itself and says what it is told. */
public final class Host {
    private Host() {
    }

    public static void main(String[] arguments) throws InterruptedException {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of(arguments[0]));
        properties.setNamespace(arguments[1]);
        properties.setSessionTimeout(Duration.ofSeconds(1));
        properties.setHeartbeatRefreshInterval(Duration.ofMillis(200));
        HostRegistry registry = new HostRegistry(properties, "default", IllegalStateException::new);
        registry.addConnectionStateListener(state -> {
            System.out.println(state);
            if (state == State.RECONNECTED) {
                registry.put("/nodes/host", "again", true);
            }
        });
        registry.start();
        registry.acquireLock("/lock/host");
        registry.put("/nodes/host", "first", true);
        System.out.println("READY");
        Thread.sleep(Long.MAX_VALUE);
    }
}
