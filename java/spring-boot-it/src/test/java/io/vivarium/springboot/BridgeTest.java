package io.vivarium.springboot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.VivariumClient;
import io.vivarium.embedded.EmbeddedRegistryExtension;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/** A bridge in a host on Spring Boot 3, whose old plugin is found by the package that is named. */
class BridgeTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension FORMER = new EmbeddedRegistryExtension();
    @RegisterExtension
    static final EmbeddedRegistryExtension CLUSTER = new EmbeddedRegistryExtension();

    @EnableAutoConfiguration
    static class Host {
    }

    @Test
    void aHostOnSpringBoot3WritesToBoth() {
        try (ConfigurableApplicationContext host = new SpringApplicationBuilder(Host.class).web(WebApplicationType.NONE).run(
            "--registry.type=embedded", "--registry.embedded.endpoints=" + CLUSTER.getServer().getNativeAddress(),
            "--registry.embedded.bridge.from=former", "--registry.embedded.bridge.plugin-package=io.vivarium.springboot.former",
            "--registry.former.server-address=" + FORMER.getServer().getNativeAddress())) {
            Registry registry = host.getBean(Registry.class);
            registry.put("/nodes/master/a:1", "here", true);
            assertTrue(registry.acquireLock("/lock/masters"));
            for (EmbeddedRegistryExtension side : new EmbeddedRegistryExtension[] {FORMER, CLUSTER}) {
                try (VivariumClient client = VivariumClient.builder().endpoints(side.getServer().getNativeAddress()).build()) {
                    assertEquals("here", client.registry().get("/dolphinscheduler/nodes/master/a:1").text());
                    assertEquals(1, client.locks().holders("/dolphinscheduler/lock/masters").size());
                }
            }
            assertTrue(registry.releaseLock("/lock/masters"));
        }
    }
}
