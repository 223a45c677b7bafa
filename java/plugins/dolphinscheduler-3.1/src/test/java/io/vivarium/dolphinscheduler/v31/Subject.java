package io.vivarium.dolphinscheduler.v31;

import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.plugin.EmbeddedRegistryProperties;
import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import org.apache.dolphinscheduler.plugin.registry.zookeeper.ZookeeperRegistry;
import org.apache.dolphinscheduler.plugin.registry.zookeeper.ZookeeperRegistryProperties;
import org.apache.dolphinscheduler.registry.api.Registry;

/** The registries that one scenario is for: the host's own plugin, unmodified, and ours. */
enum Subject {
    ZOOKEEPER {
        @Override
        Registry start(EmbeddedRegistryServer server, String namespace, Consumer<Registry> before) {
            ZookeeperRegistryProperties properties = new ZookeeperRegistryProperties();
            properties.getZookeeper().setConnectString(server.getConnectString());
            properties.getZookeeper().setNamespace(namespace);
            properties.getZookeeper().setSessionTimeout(Duration.ofSeconds(10));
            ZookeeperRegistry registry = new ZookeeperRegistry(properties);
            before.accept(registry);
            registry.start();
            return registry;
        }
    },
    EMBEDDED {
        @Override
        Registry start(EmbeddedRegistryServer server, String namespace, Consumer<Registry> before) {
            EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
            properties.setEndpoints(List.of(server.getNativeAddress()));
            properties.setNamespace(namespace);
            properties.setSessionTimeout(Duration.ofSeconds(10));
            properties.setHeartbeatRefreshInterval(Duration.ofSeconds(2));
            EmbeddedRegistry registry = new EmbeddedRegistry(properties);
            before.accept(registry);
            registry.start();
            return registry;
        }
    };

    /** One that is connected; {@code before} is called with it before that. */
    abstract Registry start(EmbeddedRegistryServer server, String namespace, Consumer<Registry> before);
}
