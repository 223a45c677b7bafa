package io.vivarium.springboot;

import io.vivarium.client.Fence;
import io.vivarium.client.VivariumClient;
import io.vivarium.client.VivariumException;
import io.vivarium.dolphinscheduler.v31.EmbeddedRegistry;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.CommandLineRunner;
import org.springframework.stereotype.Component;

/** Registers this instance, and writes to a ledger while it is the master. Each of its writes carries the lock's token. */
@Component
class Master implements CommandLineRunner {
    static final String LOCK = "/lock/master";
    static final String LEDGER = "/ledger";
    private static final long PAUSE_MS = 20;

    private final EmbeddedRegistry registry;
    private final String name;

    Master(Registry registry, @Value("${instance}") String name) {
        this.registry = (EmbeddedRegistry) registry;
        this.name = name;
    }

    @Override
    public void run(String... arguments) throws InterruptedException {
        while (true) {
            try {
                registry.put("/nodes/master/" + name, "here", true);
                registry.acquireLock(LOCK);
                registry.put("/nodes/master/" + name, "master", true);
                lead(registry.fence(LOCK));
            } catch (RegistryException | VivariumException failed) {
                System.out.println("not master: " + failed.getMessage());
                Thread.sleep(PAUSE_MS);
            }
        }
    }

    private void lead(Fence fence) throws InterruptedException {
        VivariumClient fenced = registry.client().fenced(fence);
        System.out.println("master");
        for (long count = 0;; count++) {
            fenced.registry().put(registry.path(LEDGER), fence.token() + " " + name + " " + count);
            Thread.sleep(PAUSE_MS);
        }
    }
}
