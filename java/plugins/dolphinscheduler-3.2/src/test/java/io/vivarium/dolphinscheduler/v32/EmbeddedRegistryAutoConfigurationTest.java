package io.vivarium.dolphinscheduler.v32;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.plugin.EmbeddedRegistryProperties;
import io.vivarium.testkit.Threads;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

class EmbeddedRegistryAutoConfigurationTest {
    @TempDir
    Path directory;

    private final ApplicationContextRunner runner = new ApplicationContextRunner()
        .withConfiguration(AutoConfigurations.of(EmbeddedRegistryAutoConfiguration.class));

    @AfterEach
    void nothingIsLeft() {
        Threads.awaitNone();
    }

    @Test
    void withoutTheTypeThereIsNoRegistry() {
        runner.run(context -> assertTrue(context.getBeansOfType(Registry.class).isEmpty()));
        runner.withPropertyValues("registry.type=zookeeper")
            .run(context -> assertTrue(context.getBeansOfType(Registry.class).isEmpty()));
    }

    /** Without endpoints the host has a registry all the same, and a second one finds it at its address. */
    @Test
    void withoutEndpointsTheRegistryIsEmbedded() {
        runner.withPropertyValues("registry.type=embedded", "registry.embedded.server.data-directory=" + directory,
            "registry.embedded.server.settings[timing.tick_ms]=500").run(context -> {
                EmbeddedRegistry registry = (EmbeddedRegistry) context.getBean(Registry.class);
                registry.put("/nodes/master/a:1", "here", true);
                String address = context.getBean(EmbeddedRegistry.class).nativeAddress();
                runner.withPropertyValues("registry.type=embedded", "registry.embedded.endpoints=" + address)
                    .run(second -> assertEquals("here", second.getBean(Registry.class).get("/nodes/master/a:1")));
                assertEquals("/" + EmbeddedRegistry.NAMESPACE + "/nodes", registry.path("/nodes"));
                assertEquals("here", registry.client().registry().get(registry.path("/nodes/master/a:1")).text());
            });
    }

    @Test
    void everyKeyIsBound() {
        runner.withUserConfiguration(Other.class).withPropertyValues("registry.type=embedded",
            "registry.embedded.endpoints=a:1,b:2", "registry.embedded.namespace=/n", "registry.embedded.client-id=c",
            "registry.embedded.session-timeout=30s", "registry.embedded.heartbeat-refresh-interval=5s",
            "registry.embedded.connection-timeout=4s", "registry.embedded.block-until-connected=3s",
            "registry.embedded.username=u", "registry.embedded.password=p", "registry.embedded.token=t",
            "registry.embedded.tls.enabled=true", "registry.embedded.tls.trust-store=a.p12",
            "registry.embedded.tls.trust-store-password=s1", "registry.embedded.tls.trust-certificates=a.pem",
            "registry.embedded.tls.key-store=k.p12", "registry.embedded.tls.key-store-password=s2",
            "registry.embedded.tls.certificate-chain=c.pem", "registry.embedded.tls.private-key=k.pem",
            "registry.embedded.server.data-directory=d", "registry.embedded.server.binary=/b",
            "registry.embedded.server.client-port=1", "registry.embedded.server.native-port=2",
            "registry.embedded.server.admin-port=3", "registry.embedded.server.start-timeout=9s").run(context -> {
                EmbeddedRegistryProperties properties = context.getBean(EmbeddedRegistryProperties.class);
                assertEquals(List.of("a:1", "b:2"), properties.getEndpoints());
                assertEquals(List.of("/n", "c", "u", "p", "t"), List.of(properties.getNamespace(), properties.getClientId(),
                    properties.getUsername(), properties.getPassword(), properties.getToken()));
                assertEquals(List.of(30L, 5L, 4L, 3L), List.of(properties.getSessionTimeout().getSeconds(),
                    properties.getHeartbeatRefreshInterval().getSeconds(), properties.getConnectionTimeout().getSeconds(),
                    properties.getBlockUntilConnected().getSeconds()));
                EmbeddedRegistryProperties.Tls tls = properties.getTls();
                assertTrue(tls.isEnabled());
                assertEquals(List.of("a.p12", "s1", "a.pem", "k.p12", "s2", "c.pem", "k.pem"), List.of(tls.getTrustStore(),
                    tls.getTrustStorePassword(), tls.getTrustCertificates(), tls.getKeyStore(), tls.getKeyStorePassword(),
                    tls.getCertificateChain(), tls.getPrivateKey()));
                EmbeddedRegistryProperties.Server server = properties.getServer();
                assertEquals(List.of("d", "/b"), List.of(server.getDataDirectory(), server.getBinary()));
                assertEquals(List.of(1, 2, 3), List.of(server.getClientPort(), server.getNativePort(), server.getAdminPort()));
                assertEquals(Duration.ofSeconds(9), server.getStartTimeout());
                assertSame(Other.REGISTRY, context.getBean(Registry.class), "one that the host has made is left alone");
            });
    }

    @Test
    void aRegistryThatCannotBeHadStopsTheStartWithItsReason() {
        runner.withPropertyValues("registry.type=embedded", "registry.embedded.server.data-directory=" + directory,
            "registry.embedded.server.binary=/nowhere/vivarium").run(context -> {
                Throwable cause = context.getStartupFailure();
                assertNotNull(cause);
                while (!(cause instanceof RegistryException)) {
                    cause = cause.getCause();
                }
                assertTrue(cause.getMessage().contains("/nowhere/vivarium"), cause.getMessage());
            });
    }

    /** Spring Boot 2 and 3 look for auto-configurations in different places. */
    @Test
    void bothGenerationsOfSpringBootFindIt() throws Exception {
        for (String place : new String[] {"META-INF/spring.factories",
            "META-INF/spring/org.springframework.boot.autoconfigure.AutoConfiguration.imports"}) {
            boolean found = false;
            for (java.net.URL url : java.util.Collections.list(getClass().getClassLoader().getResources(place))) {
                try (InputStream in = url.openStream()) {
                    found |= new String(in.readAllBytes(), StandardCharsets.UTF_8)
                        .contains(EmbeddedRegistryAutoConfiguration.class.getName());
                }
            }
            assertTrue(found, place);
        }
    }

    /** A host with a registry of its own making. */
    static class Other {
        static final Registry REGISTRY = new EmbeddedRegistry(new EmbeddedRegistryProperties());

        @org.springframework.context.annotation.Bean
        Registry registry() {
            return REGISTRY;
        }
    }
}
